"""The oracle replays the feed from its first record, in one process, without Kafka or checkpoints.

It uses the domain's own code, so it shows what restarts do to the numbers and not whether the
formulas are right: that is what reference.py looks at, with other code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.processing.processor import Processor, Rules
from app.verify.records import Record
from models.frame import Frame, decode_frame
from models.window import encode_window
from tests.checker.canonical import canonical


class WindowKey(NamedTuple):
    """What a window is known by; a repeat has the same."""

    instrument: str
    channel: str
    length_ms: int
    start_ms: int
    hop_ms: int | None = None
    """Only of windows that overlap."""


def window_key(window: dict[str, Any]) -> WindowKey:
    """Return the key of a window record."""
    return WindowKey(
        window["instrument"],
        window["channel"],
        window["length_ms"],
        window["start_ms"],
        window.get("hop_ms"),
    )


class Wanted(NamedTuple):
    """A state that somebody claims: this instrument as of this position of its partition."""

    partition: int
    position: int
    instrument: str


@dataclass(slots=True)
class Oracle:
    """Replays records partition by partition; answers windows, and states as of positions."""

    rules: Rules
    wanted: frozenset[Wanted] = frozenset()
    on_state: Callable[[Processor, Record], None] | None = None
    """Told of each state that a frame has changed."""
    windows: dict[WindowKey, tuple[bytes, Record]] = field(default_factory=dict)
    """Each window with the record of the feed that closed it."""
    contradictions: list[WindowKey] = field(default_factory=list)
    """Windows that the feed itself gives twice, and differently."""
    states: dict[Wanted, dict[str, Any]] = field(default_factory=dict)
    processors: dict[tuple[int, str], Processor] = field(default_factory=dict)
    touched: dict[tuple[int, str], list[int]] = field(default_factory=dict)
    """Offsets of the frames about each instrument, those of ticks left out."""
    unreadable: int = 0

    def replay(self, records: Iterable[Record]) -> None:
        """Replay records, in order within each partition."""
        due: dict[int, dict[int, list[str]]] = {}
        for partition, position, name in self.wanted:
            due.setdefault(partition, {}).setdefault(position, []).append(name)
        ends: dict[int, int] = {}
        for record in records:
            self._claims(due, record.partition, record.offset)
            self._apply(record)
            ends[record.partition] = record.offset + 1
        for partition, end in ends.items():
            self._claims(due, partition, end)

    def _claims(self, due: dict[int, dict[int, list[str]]], partition: int, position: int) -> None:
        for name in due.get(partition, {}).pop(position, ()):
            state = self.processors.get((partition, name))
            if state is not None:
                self.states[Wanted(partition, position, name)] = canonical(state)

    def _apply(self, record: Record) -> None:
        try:
            frame = decode_frame(record.value or b"")
        except ValueError:
            self.unreadable += 1
            return
        for state in self._targets(record, frame):
            for window in state.feed(frame).windows:
                key, value = window_key(window), encode_window(window)
                known = self.windows.setdefault(key, (value, record))
                if known[0] != value:
                    self.contradictions.append(key)
            if self.on_state is not None:
                self.on_state(state, record)

    def _targets(self, record: Record, frame: Frame) -> list[Processor]:
        if not frame.sequence:
            return [
                state
                for (number, _), state in self.processors.items()
                if number == record.partition
            ]
        where = record.partition, frame.instrument
        if where not in self.processors:
            self.processors[where] = Processor(frame.instrument, self.rules)
        self.touched.setdefault(where, []).append(record.offset)
        return [self.processors[where]]


def published_key(value: bytes) -> WindowKey:
    """Return the key of a published window's JSON."""
    return window_key(json.loads(value))
