"""What a keeper holds of one input partition, and which of its states are to be written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

from faust_exact.state_record import InvariantBroken


class State(Protocol):
    """What a partition holds for a key: whatever it is, it knows what it includes."""

    position: int
    """Offset after the last record of the input that the state includes."""


S = TypeVar("S", bound=State)

MAX_LATER: Final = 1_000
"""Of `later`: windows of 1 to 2 kB, of which so many are as much as one record should hold."""


@dataclass(slots=True)
class Unwritten:
    """Why a state is to be written."""

    since: int
    """Offset of the first record of the input that its record does not include."""
    at: float
    """When that was applied, in monotonic seconds."""
    input_bytes: int = 0
    """What it was told since."""
    must: bool = False
    """Whether it is written at the next checkpoint, however little it was told."""


@dataclass(slots=True)
class Partition(Generic[S]):
    """What is held of one input partition."""

    number: int
    position: int
    states: dict[bytes, S] = field(default_factory=dict)
    dirty: dict[bytes, Unwritten] = field(default_factory=dict)
    writing: dict[bytes, Unwritten] = field(default_factory=dict)
    """What a checkpoint has taken out of `dirty`, and Kafka has not acknowledged yet."""
    offsets: range = range(0)
    """What the input held when the partition was taken over."""
    reset: set[bytes] = field(default_factory=set)
    """Keys whose records in the changelog are of another input: the next one follows a deletion,
    or those, whose positions are higher, would win."""
    sizes: dict[bytes, int] = field(default_factory=dict)
    """Bytes of the last record that was written of a state."""
    sent: list[asyncio.Future[Any]] = field(default_factory=list)
    """Records that were sent because of the input, which a checkpoint waits for."""
    later: list[Any] = field(default_factory=list)
    """What is to be sent because of the input, together: at the next checkpoint or sooner, and at
    once when there are MAX_LATER."""
    batch: Any = None
    """Records because of the input that fill a batch, not handed over yet: see batches.py."""
    on_its_way: asyncio.Future[Any] | None = None
    """The batch before it."""
    whole: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while an event is being applied: a checkpoint must not see half of it."""
    unsure: list[bytes] = field(default_factory=list)
    """Keys in the table whose record may not be the last of the changelog any more."""
    changelog_next: int = 0
    """The changelog offset that the next write will get, as long as nobody else writes."""
    is_alone: bool = True
    """Whether every record of the changelog since the take-over was written here."""
    rewound_to: int | None = None
    """Where it was begun, if that is below what is committed, and no commit has said so yet."""
    is_fenced: bool = False
    is_reread: bool = False
    """Whether the consumer is to go back to the position, and fetch from there on."""
    reread_at: float = 0.0
    """When that is due, in monotonic seconds: the same place is not read again and again."""
    looked_at: int = -1
    """The position when the consumer looked last for one that stands still."""

    def touch(self, key: bytes, offset: int, input_bytes: int = 0) -> None:
        """Note that the record at an offset of the input changed a state: while it is applied."""
        if offset != self.position or not self.whole.locked():
            raise InvariantBroken(
                f"{key!r} was changed at offset {offset}, outside of the record at {self.position}"
            )
        unwritten = self.dirty.get(key)
        if unwritten is None:
            unwritten = self.dirty[key] = Unwritten(offset, time.monotonic())
        unwritten.input_bytes += input_bytes

    def rewrite(self, keys: Iterable[bytes]) -> None:
        """Have states written at the next checkpoint although nothing new was told to them."""
        now = time.monotonic()
        for key in keys:
            unwritten = self.dirty.setdefault(key, Unwritten(self.position, now))
            unwritten.must = True

    def due(self, input_per_record: int | None, max_age_s: float, now: float) -> list[bytes]:
        """Return the keys of what is to be written now."""
        return [
            key
            for key, unwritten in self.dirty.items()
            if unwritten.must
            or now - unwritten.at >= max_age_s
            or (
                input_per_record is not None
                and unwritten.input_bytes >= input_per_record * self.sizes.get(key, 0)
            )
        ]

    def label(self, state: State) -> int:
        """Return the position for the record of a state: all that both of them include.

        After a take-over a state may be ahead of the partition, which skips what it includes.
        """
        return max(self.position, state.position)

    def is_unwritten(self, key: bytes) -> bool:
        """Whether the table does not hold the last of a key yet, which may be its deletion."""
        return key in self.dirty or key in self.writing

    def put_back(self) -> None:
        """Have what was taken out of `dirty` there again: it could not be written."""
        taken, self.writing = self.writing, {}
        for key, old in taken.items():
            new = self.dirty.get(key)
            if new is not None:
                old.input_bytes += new.input_bytes
                old.must |= new.must
            self.dirty[key] = old

    def forget_written(self) -> None:
        """Let go of the states that the table holds. The partition has to be held as a whole."""
        for key in [key for key in self.states if not self.is_unwritten(key)]:
            del self.states[key]
            self.sizes.pop(key, None)

    @property
    def safe_position(self) -> int:
        """The position up to which everything is in a record that was written."""
        return min([self.position, *(each.since for each in self.dirty.values())])
