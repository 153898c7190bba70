"""How often an address may ask: a token bucket each, of the addresses that asked last."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from app.api.problems import Problem
from deribit.backoff import TokenBucket

REQUESTS_PER_S: Final = 200.0
REQUESTS_BURST: Final = 2_000
"""A thousand pages that load at once behind one proxy are let through."""
MAX_ADDRESSES: Final = 4_096
"""Of more, the one that has been silent longest is forgotten, and begins anew with its burst."""


class Rates:
    """The buckets of all addresses."""

    def __init__(
        self,
        per_s: float = REQUESTS_PER_S,
        burst: int = REQUESTS_BURST,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._now = now
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def check(self, address: str) -> None:
        """Count a request of an address; raise a 429 problem if it asks too often."""
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = TokenBucket(self._per_s, self._burst)
            if len(self._buckets) > MAX_ADDRESSES:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        if not bucket.take(self._now()):
            detail = f"{address} asks more than {self._per_s:.0f} times a second"
            raise Problem(429, "too-many-requests", detail, retry=True)
