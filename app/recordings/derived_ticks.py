"""Ticks of a recording that holds none, derived from its receive times.

Recordings of other collectors, and older ones of ours, do not say what the venue's clock was while
nothing came. What is known is when each message was sent and received; so between two messages the
venue's time is that of the last one, plus the time that has passed since by the receiver's clock.
That is never ahead of the venue. Whether the socket was alive meanwhile is not known: derived ticks
never say that it was quiet.
"""

from __future__ import annotations

from typing import Final

from models.frame import Tick

INTERVAL_NS: Final = 1_000_000_000
ALIVE_NS: Final = 30_000_000_000
"""A session is taken to have lived for so long after its last message, if it then ended."""
MAX_SILENCE_NS: Final = 3_600_000_000_000
"""In which not one line of a recording came: it was not going on."""
MAX_DELAY_MS: Final = 24 * 3_600_000
"""A message that was sent longer before it was received is no clock: one of them is made up."""
MAX_AHEAD_MS: Final = 600_000
"""Nor is one that was sent so long after it was received, by the receiver's clock."""
_STAMP: Final = b'"timestamp":'
_MAX_DIGITS: Final = 16


class DerivedTicks:
    """The ticks of one session, a second apart by the clock of who received it."""

    def __init__(self) -> None:
        self._heard_ns = 0
        """When the last line was received."""
        self._due_ns: int | None = None
        self._last: tuple[int, bytes] | None = None
        """The last notification whose time has not been read yet, and when it was received."""
        self._delay_ms: int | None = None
        """From when a message was sent until it was received, clocks' differences included."""

    def until(self, received_ns: int) -> list[Tick]:
        """Return the ticks that are due before a line that was received at that time."""
        ticks: list[Tick] = []
        due_ns = self._due_ns
        if due_ns is None or received_ns < self._heard_ns - INTERVAL_NS:
            due_ns = received_ns + INTERVAL_NS  # the first line, or a clock that was set back
        while due_ns <= received_ns:
            if (delay_ms := self._known_delay()) is not None:
                ticks.append(Tick(due_ns, due_ns // 1_000_000 - delay_ms, 0))
            due_ns += INTERVAL_NS
        self._due_ns = due_ns
        self._heard_ns = received_ns
        return ticks

    def is_over(self, received_ns: int) -> bool:
        """Return whether the session had ended before a line that was received at that time."""
        return self._due_ns is not None and received_ns - self._heard_ns > MAX_SILENCE_NS

    def before_end(self, received_ns: int) -> list[Tick]:
        """Return the ticks that are due before a disconnect that is noted at that time.

        A disconnect is noted when it is found out, and by a recorder that was killed only at its
        next start: so it does not show that the session lived for long after its last message.
        """
        return self.until(min(received_ns, self._heard_ns + ALIVE_NS))

    def hear(self, received_ns: int, message: bytes) -> None:
        """Note a notification about an instrument."""
        self._last = received_ns, message

    def _known_delay(self) -> int | None:
        """Return the delay of the last message that can tell; None if none could."""
        if self._last is not None:
            received_ns, message = self._last
            self._last = None
            if (sent_ms := _sent_ms(message)) is not None:
                delay_ms = received_ns // 1_000_000 - sent_ms
                if -MAX_AHEAD_MS <= delay_ms <= MAX_DELAY_MS:
                    self._delay_ms = delay_ms
        return self._delay_ms


def _sent_ms(message: bytes) -> int | None:
    """Return the first time stamp in a message; None if it has none."""
    start = message.find(_STAMP)
    if start < 0:
        return None
    start += len(_STAMP)
    digits = message[start : start + _MAX_DIGITS].lstrip()
    end = next((place for place, byte in enumerate(digits) if not 48 <= byte <= 57), len(digits))
    return int(digits[:end]) if 0 < end < _MAX_DIGITS else None
