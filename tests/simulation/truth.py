"""What would have been without any disturbance: one processor that reads a partition in order."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from app.processing.processor import Processor, Rules
from models.frame import decode_frame
from models.window import encode_window
from tests.simulation.kafka import Stored

WindowKey = tuple[Any, ...]


@dataclass
class Undisturbed:
    """What a processor makes of a partition of the feed, record by record, with no disturbance."""

    rules: Rules
    states: dict[bytes, Processor] = field(default_factory=dict)
    versions: defaultdict[bytes, list[tuple[int, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By key: (offset, state as a record) after each record of the feed that changed it."""
    windows: dict[WindowKey, bytes] = field(default_factory=dict)
    read: int = 0

    def feed(self, record: Stored) -> None:
        """Apply the next record of the feed."""
        frame = decode_frame(record.value or b"")
        if frame.sequence:
            key = frame.instrument.encode()
            if key not in self.states:
                self.states[key] = Processor(frame.instrument, self.rules)
            told = [key]
        else:
            told = list(self.states)
        for key in told:
            for window in self.states[key].feed(frame).windows:
                self.windows[window_key(window)] = encode_window(window)
            self.versions[key].append((record.offset, as_record(self.states[key])))
        self.read = record.offset + 1

    def as_of(self, key: bytes, position: int) -> str | None:
        """Return the state of a key as of a position; None if there is none yet."""
        versions = self.versions[key]
        at = bisect_left(versions, position, key=lambda version: version[0])
        return versions[at - 1][1] if at else None

    def last_change(self, key: bytes, position: int) -> int | None:
        """Return the offset of the last record before a position that changed a key."""
        versions = self.versions[key]
        at = bisect_left(versions, position, key=lambda version: version[0])
        return versions[at - 1][0] if at else None


def as_record(state: Processor) -> str:
    """Return what a state record holds, for comparison."""
    return repr(state.to_record())


def window_key(window: dict[str, Any]) -> WindowKey:
    """Return what identifies a window."""
    return window["instrument"], window["length_ms"], window.get("hop_ms"), window["start_ms"]
