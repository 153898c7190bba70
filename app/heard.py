"""`Heard`: what the feed of one partition has said, and how much of it the live records have told.

A live record names what has changed since the one before; every WHOLE_LIVE_S it names all, so that
what is gone disappears, and what a worker cannot be sure of, because it missed a record, is known
again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from app.processor import Processor

WHOLE_LIVE_S: Final = 2.0


class Due(NamedTuple):
    """What the next live record of a partition has to be made of."""

    states: list[Processor]
    changed: set[str]
    """Instruments that were heard of; a tick can change others, too."""
    whole: bool
    heard_ms: int
    published_ms: int
    after_ms: int


class Heard:
    """One owned partition."""

    __slots__ = ("_changed", "_heard_ms", "_published_ms", "_told", "_whole_at_s", "at_ms")

    def __init__(self) -> None:
        self.at_ms = 0
        """When it last said anything, ticks included, by the ingester's clock."""
        self._heard_ms: int | None = None
        """The same since the last live record; None: nothing."""
        self._changed: set[str] = set()
        self._told: dict[str, str] = {}
        """By instrument: the status in its last live record."""
        self._whole_at_s = 0.0
        self._published_ms = 0
        """When the last live record was written, which names the record."""

    def hear(self, received_ms: int) -> None:
        """Note that it has said something."""
        self._heard_ms = max(received_ms, self._heard_ms or 0)
        self.at_ms = max(received_ms, self.at_ms)

    def change(self, instrument: str) -> None:
        """Note that an instrument has changed."""
        self._changed.add(instrument)

    def due(self, known: Iterable[Processor], *, now_s: float, now_ms: int) -> Due | None:
        """Return what the live record of now is made of, and begin the next; None if none is due.

        `known` are the states that it may name, `now_s` is of a clock that nobody sets.
        """
        whole = now_s - self._whole_at_s >= WHOLE_LIVE_S
        if self._heard_ms is None and not self._changed and not whole:
            return None
        if whole:
            self._whole_at_s = now_s
        heard_ms, self._heard_ms = self._heard_ms, None
        changed, self._changed = self._changed, set()
        states = [
            state
            for state in known
            if whole or state.name in changed or state.status != self._told.get(state.name)
        ]
        self._told |= {state.name: state.status for state in states}
        heard_ms = heard_ms or max((s.received_ns for s in states), default=0) // 1_000_000
        after_ms = self._published_ms
        self._published_ms = max(now_ms, after_ms + 1)
        return Due(states, changed, whole, heard_ms, self._published_ms, after_ms)
