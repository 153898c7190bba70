"""Backoff policies as data: how long to wait, how often to ask; they are told the time.

`Backoff` gives the waits between attempts, `Attempts` counts them, `TokenBucket` paces calls.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter: the n-th wait is anything up to first × 2ⁿ, capped.

    Full jitter spreads the workers that lost the venue at the same moment; the floor keeps a lucky
    draw from becoming a hot loop.
    """

    first_s: float = 1.0
    cap_s: float = 60.0
    floor_s: float = 0.1
    healthy_s: float = 30.0
    """Data must have flowed for this long before the count starts anew."""

    def wait_s(self, failures: int, rng: random.Random) -> float:
        """Return the wait after `failures` attempts in a row, 0 for the first, came to nothing."""
        ceiling = min(self.cap_s, self.first_s * 2.0 ** min(failures, _MAX_EXPONENT))
        return rng.uniform(self.floor_s, max(ceiling, self.floor_s))


_MAX_EXPONENT: Final = 30
"""Beyond this 2ⁿ seconds are longer than any cap, and one day the float would overflow."""


class Attempts:
    """Counts attempts that failed in a row, and forgets them only after a healthy time."""

    def __init__(self, backoff: Backoff, rng: random.Random) -> None:
        self._backoff = backoff
        self._rng = rng
        self.failures = 0

    def failed(self, healthy_s: float, least_s: float = 0.0) -> float:
        """Return the wait before the next attempt, after one that was healthy for a time."""
        if healthy_s >= self._backoff.healthy_s:
            self.failures = 0
        wait_s = self._backoff.wait_s(self.failures, self._rng)
        self.failures += 1
        return wait_s + least_s


_ONE: Final = 1.0 - 1e-9
"""A token; rounding must not make a caller who comes at `ready_at` wait again for a billionth."""


class TokenBucket:
    """Allows `rate_per_s` calls a second, and `burst` of them at once."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = self._burst
        self._filled_at: float | None = None

    def take(self, now: float) -> bool:
        """Take one token; False if there is none."""
        self._fill(now)
        if self._tokens < _ONE:
            return False
        self._tokens -= 1.0
        return True

    def spend(self, now: float) -> None:
        """Take a token even if there is none: those who come later wait for it."""
        self._fill(now)
        self._tokens -= 1.0

    def ready_at(self, now: float) -> float:
        """Return when the next token is there: now, or later."""
        self._fill(now)
        return now + max(0.0, (1.0 - self._tokens) / self._rate_per_s)

    def _fill(self, now: float) -> None:
        if self._filled_at is not None:
            earned = max(0.0, now - self._filled_at) * self._rate_per_s
            self._tokens = min(self._burst, self._tokens + earned)
        self._filled_at = now
