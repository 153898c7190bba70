"""The chain of one incremental book channel: does a message follow the last one?

Deribit's rule: a change names its predecessor, and follows only if that is the last message that
we have. The state belongs to a channel, not to an instrument: two intervals of one instrument are
two chains.
"""

from __future__ import annotations

from enum import Enum

from deribit.vocabulary import SNAPSHOT


class Step(Enum):
    """The ways in which a message can relate to its chain."""

    SNAPSHOT = "snapshot"
    NEXT = "next"
    DUPLICATE = "duplicate"
    GAP = "gap"
    WAITING = "waiting"
    """The chain is broken or not begun: only a snapshot can be used."""


class Chain:
    """The last change_id of a channel, and whether it can be built on."""

    __slots__ = ("is_waiting", "last")

    def __init__(self) -> None:
        self.last: int | None = None
        self.is_waiting = True

    def step(self, kind: str | None, change_id: int, previous_id: int | None) -> Step:
        """Return what a message is, and advance if it follows. After a GAP the chain waits."""
        if kind == SNAPSHOT or not previous_id:
            # Also messages of before 2021, without a type, or a first change that follows 0.
            # Ids may restart lower with a snapshot: it is never compared with the last one.
            self.last = change_id
            self.is_waiting = False
            return Step.SNAPSHOT
        if self.is_waiting or self.last is None:
            return Step.WAITING
        if change_id <= self.last:
            return Step.DUPLICATE
        if previous_id != self.last:
            self.is_waiting = True
            return Step.GAP
        self.last = change_id
        return Step.NEXT

    def interrupt(self) -> int | None:
        """Wait for a snapshot from here on; return the change_id that is the last known."""
        self.is_waiting = True
        return self.last
