"""Wall time that never goes back, for stamps whose differences are ages.

Wall clocks are set: by hand, by NTP, by a host that wakes up. A stamp made before such a step and
one made after it would tell an age that is too small by the step, and zero for an hour is how a
dead feed looks alive. So time goes on from where it was, at the pace of the monotonic clock, until
the wall clock is ahead again. All stamps of a process are from one such clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class SteadyClock:
    """A wall clock, and the monotonic one that takes over when it is set back."""

    __slots__ = ("_last", "_monotonic_ns", "_wall_ns")

    def __init__(
        self,
        wall_ns: Callable[[], int] = lambda: time.time_ns(),
        monotonic_ns: Callable[[], int] = lambda: time.monotonic_ns(),
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._last = 0, 0
        """What was answered last, and when that was by the monotonic clock."""

    def time_ns(self) -> int:
        """Return ns since the epoch; never less than before."""
        now, wall = self._monotonic_ns(), self._wall_ns()
        before, at = self._last
        steady = max(wall, before + now - at if before else wall)
        self._last = steady, now
        return steady

    def set_back_ns(self) -> int:
        """Return how far the wall clock is behind what this one answers."""
        return self.time_ns() - self._wall_ns()


clock = SteadyClock()
"""The one of this process."""
