"""The reference's silences: every tick of a session is kept, and each question asked of the list.

`docs/measures.md`, Status: an instrument is stale, too, if a tick finds it silent for at least 3 s
and at least three times as long as any of its silences that ended in the last ten minutes; but not
before five ticks of the session, without its first, have found something that came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

LEAST_MS: Final = 3_000
TIMES: Final = 3
REMEMBERED_MS: Final = 600_000
LEARNING_TICKS: Final = 5


@dataclass(slots=True)
class Silences:
    """All ticks of all sessions, each with whether something had come since the one before."""

    sessions: list[list[tuple[int, bool]]] = field(default_factory=lambda: [[]])
    latest_ms: int = 0
    is_heard: bool = False

    def message(self) -> None:
        """A message about the instrument came."""
        self.is_heard = True

    def connected(self) -> None:
        """A session begins."""
        self.sessions.append([])
        self.is_heard = False

    def tick(self, venue_ms: int) -> bool:
        """Return whether the instrument is silent for too long as of this tick."""
        self.latest_ms = now_ms = max(self.latest_ms, venue_ms)
        ticks = self.sessions[-1]
        ticks.append((now_ms, self.is_heard or not ticks))
        self.is_heard = False
        silent_ms = _silence_at(ticks, len(ticks) - 1)
        heard_ticks = sum(is_heard for _, is_heard in ticks[1:])
        if heard_ticks < LEARNING_TICKS or silent_ms < LEAST_MS:
            return False
        return silent_ms >= TIMES * max(self._ended_since(now_ms - REMEMBERED_MS), default=0)

    def _ended_since(self, from_ms: int) -> Iterator[int]:
        """Yield the length of each silence that a heard tick has ended since then."""
        for ticks in self.sessions:
            for place, (at_ms, is_heard) in enumerate(ticks):
                if place and is_heard and at_ms >= from_ms:
                    yield _silence_at(ticks, place - 1)


def _silence_at(ticks: list[tuple[int, bool]], place: int) -> int:
    """Return how long, as of a tick, nothing had come: the time since the last heard tick."""
    last = place
    while not ticks[last][1]:
        last -= 1
    return ticks[place][0] - ticks[last][0]
