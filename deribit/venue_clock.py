"""The venue's clock as a session reads it, and how long the socket has been quiet.

A reading is the `usOut` of an answer. Answers and notifications share one ordered stream, so all
that came before the answer was sent before that time: a tick is exact, with no estimate of the way.
That is also why the clock does not run on by itself between readings: on a stalled socket, messages
of the time that has passed may still be on their way.
"""

from __future__ import annotations

import math
from typing import Final

from deribit.events import Tick

PROBE_INTERVAL_S: Final = 1.0
"""Time between two readings, each of which also proves that the venue answers."""
TICK_OVERDUE_S: Final = 1.5
"""Without a reading for this long a tick is made anyway: it says how quiet the socket is."""
QUIET_TICK_INTERVAL_S: Final = 0.5
"""Time between two ticks of that kind: silence has to be known soon after it is too long."""
MAX_CLOCK_US: Final = 10**17
"""The year 5138: what says it is later is no clock."""


class VenueClock:
    """The last reading, and when ticks and probes are due."""

    __slots__ = ("_probed_at", "_read_at", "_tick_due", "_venue_ms", "told_ms")

    def __init__(self) -> None:
        self.told_ms: int | None = None
        """The venue's time as the last answer told it, also before there are ticks."""
        self._venue_ms: int | None = None
        self._probed_at = -math.inf
        self._read_at = -math.inf
        self._tick_due = math.inf

    @property
    def probe_due(self) -> float:
        """Return when to ask for a reading; also if the last answer had none, not at once again."""
        return max(self._read_at, self._probed_at) + PROBE_INTERVAL_S

    @property
    def tick_due(self) -> float:
        """Return when a tick without a reading is due; never before the first reading."""
        return self._tick_due

    def probed(self, now: float) -> None:
        """Note that a reading has been asked for."""
        self._probed_at = now

    def told(self, us_out: int | None) -> None:
        """Note the time of an answer that comes before ticks are wanted."""
        if us_out is not None and 0 < us_out < MAX_CLOCK_US:
            self.told_ms = us_out // 1000

    def read(self, us_out: int | None, now: float) -> Tick | None:
        """Take the time of an answer that has just come; return a tick if it is time for one."""
        if us_out is None or not 0 < us_out < MAX_CLOCK_US:
            return None
        self.told_ms = us_out // 1000
        self._venue_ms = max(us_out // 1000, self._venue_ms or 0)
        if now < self._read_at + PROBE_INTERVAL_S:
            return None
        self._read_at = now
        self._tick_due = now + TICK_OVERDUE_S
        return Tick(self._venue_ms, 0)

    def overdue(self, heard_at: float, now: float) -> Tick | None:
        """Return a tick if no reading has come for too long: the last time, and the silence."""
        if self._venue_ms is None or now < self._tick_due:
            return None
        self._tick_due = now + QUIET_TICK_INTERVAL_S
        return Tick(self._venue_ms, max(0, int((now - heard_at) * 1000)))
