"""Tracks, per feed partition, which instruments changed since the last `live` record.

A live record names what has changed since the one before; every WHOLE_LIVE_S it names all, so that
what is gone disappears, and what a worker cannot be sure of, because it missed a record, is known
again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from app.processing.processor import Processor

WHOLE_LIVE_S: Final = 2.0


class Due(NamedTuple):
    """Names what the next live record of a partition has to be made of."""

    states: list[Processor]
    changed: set[str]
    """Instruments that were heard of; a tick can change others, too."""
    whole: bool
    heard_ms: int
    published_ms: int
    after_ms: int


class LiveUpdates:
    """One owned partition."""

    __slots__ = ("_changed", "_published_ms", "_told", "_was_heard", "_whole_at_s", "at_s")

    def __init__(self) -> None:
        self.at_s: float | None = None
        """When it last said anything, ticks included, monotonic; None: nothing yet."""
        self._was_heard = False
        """Whether it has said anything since the last live record."""
        self._changed: set[str] = set()
        self._told: dict[str, str] = {}
        """By instrument: the status in its last live record."""
        self._whole_at_s = 0.0
        self._published_ms = 0
        """When the last live record was written, which names the record."""

    def hear(self, received_ms: int, *, now_s: float, now_ms: int) -> None:
        """Note that it has said something that was received at a time of the wall clock.

        That clock may be set, and what another worker received is of another one: from now on the
        time since is counted by a clock that nobody sets. What was received in the future is heard
        now.
        """
        self._was_heard = True
        at_s = now_s - max(0, now_ms - received_ms) / 1_000
        self.at_s = at_s if self.at_s is None else max(at_s, self.at_s)

    def age_ms(self, now_s: float) -> int | None:
        """Return the time since it said anything; None if it never did."""
        return None if self.at_s is None else round((now_s - self.at_s) * 1_000)

    def change(self, instrument: str) -> None:
        """Note that an instrument has changed."""
        self._changed.add(instrument)

    def due(self, known: Iterable[Processor], *, now_s: float, now_ms: int) -> Due | None:
        """Return what the live record of now is made of, and begin the next; None if none is due.

        `known` are the states that it may name, `now_s` is of a clock that nobody sets.
        """
        whole = now_s - self._whole_at_s >= WHOLE_LIVE_S
        if not self._was_heard and not self._changed and not whole:
            return None
        if whole:
            self._whole_at_s = now_s
        self._was_heard = False
        changed, self._changed = self._changed, set()
        states = [
            state
            for state in known
            if whole or state.name in changed or state.status != self._told.get(state.name)
        ]
        self._told |= {state.name: state.status for state in states}
        if self.at_s is None and states:  # as its states say, which are of a worker before
            received_ms = max(state.received_ns for state in states) // 1_000_000
            self.at_s = now_s - max(0, now_ms - received_ms) / 1_000
        after_ms = self._published_ms
        self._published_ms = now_ms if now_ms != after_ms else now_ms + 1
        heard_ms = max(0, self._published_ms - (self.age_ms(now_s) or 0))
        return Due(states, changed, whole, heard_ms, self._published_ms, after_ms)
