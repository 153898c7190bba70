"""The venue's request limits as data: what a call costs, and how much of a pool is for us.

Each class of methods draws on a pool of credits that refills steadily. Who finds it empty is not
only refused (10028): the venue ends the session. So every request asks here first, and all
connections of a worker ask the same object, because the venue counts them together: by address, or
by account once authenticated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from deribit.backoff import TokenBucket
from deribit.vocabulary import Method


class Pool(NamedTuple):
    """The credits that one class of methods draws on."""

    cost_credits: int
    """Taken by each call."""
    size_credits: int
    """The most that can be saved up."""
    refill_credits_per_s: int


NON_MATCHING: Final = Pool(cost_credits=500, size_credits=50_000, refill_credits_per_s=10_000)
"""Whatever is not named below: 20 calls a second, 100 at once."""
INSTRUMENTS: Final = Pool(cost_credits=10_000, size_credits=500_000, refill_credits_per_s=10_000)
SUBSCRIBE: Final = Pool(cost_credits=3_000, size_credits=30_000, refill_credits_per_s=10_000)

POOLS: Final[Mapping[Method, Pool]] = {
    Method.GET_INSTRUMENTS: INSTRUMENTS,
    Method.SUBSCRIBE: SUBSCRIBE,
    Method.PRIVATE_SUBSCRIBE: SUBSCRIBE,
    # The venue counts these as non-matching. Each is followed by a subscribe, though: taken from
    # the same pool, a resync never leaves books without a feed for want of the second half.
    Method.UNSUBSCRIBE: SUBSCRIBE,
    Method.PRIVATE_UNSUBSCRIBE: SUBSCRIBE,
}

SHARE_OF_RATE: Final = 0.9
"""The part of the refill that we use: the venue's clock need not run like ours."""
SHARE_OF_POOL: Final = 0.6
"""The part of the pool that we use at once: other workers may share the address."""


class Limits:
    """Our share of each of the venue's pools; one object for all connections of a worker."""

    def __init__(
        self, share_of_rate: float = SHARE_OF_RATE, share_of_pool: float = SHARE_OF_POOL
    ) -> None:
        self._buckets = {
            pool: TokenBucket(
                share_of_rate * pool.refill_credits_per_s / pool.cost_credits,
                max(1, int(share_of_pool * pool.size_credits / pool.cost_credits)),
            )
            for pool in (NON_MATCHING, INSTRUMENTS, SUBSCRIBE)
        }

    def take(self, method: Method, now: float) -> bool:
        """Take the cost of a call; False, and nothing taken, if it must wait."""
        return self._bucket(method).take(now)

    def spend(self, method: Method, now: float) -> None:
        """Take the cost of a call that cannot wait; what comes after it waits longer."""
        self._bucket(method).spend(now)

    def ready_at(self, method: Method, now: float) -> float:
        """Return when a call may be made: now, or later."""
        return self._bucket(method).ready_at(now)

    def _bucket(self, method: Method) -> TokenBucket:
        return self._buckets[POOLS.get(method, NON_MATCHING)]
