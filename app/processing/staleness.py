"""Silence of one instrument while its socket lives: when is it longer than its market's quiet?

Heartbeats are no data. A still book may say nothing for a minute, a busy one never for a second;
so an instrument is measured by itself. Ticks are the ruler, because they carry the venue's clock:
no notification that was sent before a tick comes after it, and no clock of ours is read.
"""

from __future__ import annotations

from typing import Any, Final

LEAST_SILENCE_MS: Final = 3_000
"""Shorter silence is never remarkable."""
TIMES_THE_LONGEST: Final = 3
REMEMBERED_MS: Final = 600_000
LEARNING_TICKS: Final = 5
"""Ticks of a session that must have found a message before it is judged: who is always still is
seen to be, by the silences between them."""


class StalenessDetector:
    """Detects that an instrument has been silent for too long, measured by its own past."""

    __slots__ = ("_began", "_ended", "_heard", "_heard_ms", "_heard_ticks", "_now_ms", "_silent_ms")

    def __init__(self) -> None:
        self._ended: list[tuple[int, int]] = []
        """When a silence ended and how long it was: those that no later one exceeds."""
        self._now_ms = 0
        """The latest venue time of any tick; it never goes back."""
        self.connect()

    def connect(self) -> None:
        """A session begins: how long nothing came before is not the market's doing."""
        self._heard = False
        """Whether anything came since the last tick."""
        self._began = False
        """Whether the session has had a tick."""
        self._heard_ticks = 0
        self._heard_ms = 0
        self._silent_ms = 0
        """Venue time without a message as of the last tick."""

    def hear(self) -> None:
        """Note a message about the instrument, of whatever channel."""
        self._heard = True

    def tick(self, venue_ms: int) -> bool:
        """Note the venue's time; answer whether the instrument has been silent for too long."""
        self._now_ms = now = max(venue_ms, self._now_ms)
        if not self._began:
            self._began = True
            self._heard_ms = now
            self._heard = False
            return False
        if self._heard:
            self._heard = False
            self._heard_ticks += 1
            self._end(now)
            self._heard_ms = now
            self._silent_ms = 0
            return False
        self._silent_ms = now - self._heard_ms
        if self._heard_ticks < LEARNING_TICKS or self._silent_ms < LEAST_SILENCE_MS:
            return False
        self._forget(now)
        longest = self._ended[0][1] if self._ended else 0
        return self._silent_ms >= TIMES_THE_LONGEST * longest

    def _end(self, now_ms: int) -> None:
        if self._silent_ms:
            while self._ended and self._ended[-1][1] <= self._silent_ms:
                self._ended.pop()
            self._ended.append((now_ms, self._silent_ms))
            self._forget(now_ms)

    def _forget(self, now_ms: int) -> None:
        while self._ended and self._ended[0][0] < now_ms - REMEMBERED_MS:
            del self._ended[0]

    def to_record(self) -> list[Any]:
        """Return everything that the future depends on."""
        times = [self._heard_ms, self._now_ms, self._silent_ms]
        return [self._heard, self._began, self._heard_ticks, times, self._ended]

    def restore(self, record: list[Any]) -> None:
        """Take the state of a record; raise ValueError or TypeError if it is none."""
        self._heard, self._began, self._heard_ticks, times, ended = record
        self._heard_ms, self._now_ms, self._silent_ms = times
        self._ended = [(ended_ms, silent_ms) for ended_ms, silent_ms in ended]
