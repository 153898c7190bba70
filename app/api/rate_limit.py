"""Limits how often clients ask: a token bucket for each of the addresses that asked last."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from app.api.problems import Problem

REQUESTS_PER_S: Final = 200.0
REQUESTS_BURST: Final = 2_000
"""A thousand pages that load at once behind one proxy are let through."""
MAX_ADDRESSES: Final = 4_096
"""Beyond this, the address that asked longest ago is forgotten: it starts with a full bucket."""

ROUNDING: Final = 1e-6
"""Tolerance in tokens, so that rounding never makes a client wait that came in time."""


class TokenBucket:
    """Allows `per_s` calls a second, and `burst` of them at once."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._fill_s = 1.0 / per_s
        """Time in which one token comes back."""
        self._burst_s = (burst + ROUNDING) * self._fill_s
        self._full_at = 0.0
        """When all tokens will be there again: the one number that says how many are missing."""

    def take(self, now: float) -> bool:
        """Take one token; False if there is none."""
        full_at = max(self._full_at, now) + self._fill_s
        if full_at - now > self._burst_s:
            return False
        self._full_at = full_at
        return True


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
