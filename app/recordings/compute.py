"""Windows of a recording, without Kafka, through the same frames and processor as the live path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from app.processing.processor import Processor, Rules
from app.recordings.reader import Place
from app.recordings.to_frames import FrameWriter

SESSION: Final = "recording"
MAX_REFUSED_SHOWN: Final = 20


class RefusedMessage(NamedTuple):
    """A message that could not be taken; it has changed nothing."""

    place: str
    """File and line, or the number of the message where these are not known."""
    reason: str


@dataclass(slots=True)
class Tally:
    """Counts what became of the lines of a recording."""

    lines: int = 0
    other: int = 0
    """Marks, answers to requests, heartbeats, and notifications that are about no instrument."""
    unreadable: int = 0
    windows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    served: int = 0
    """Instruments that are served."""
    unserved: Counter[str] = field(default_factory=Counter)
    """Messages of instruments that are not served, by the instrument."""
    refused: list[RefusedMessage] = field(default_factory=list)
    """The first of those that were refused."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """Messages of books that were not followed, by channel: each instrument has one that is."""


def compute(
    lines: Iterable[tuple[int, bytes]],
    rules: Rules,
    tally: Tally | None = None,
    books: Collection[str] = (),
    place: Place | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the closed windows of a recording, in the order in which its lines close them.

    Like a worker, it follows one incremental book of each instrument: those of `books`, or else the
    first of each; the other channels of an instrument go with its book. `place` says where the
    lines stand that are read.
    """
    tally = tally or Tally()
    writer = FrameWriter(SESSION, SESSION, items=1, books=books)
    processors: dict[str, Processor] = {}
    for number, (received_ns, message) in enumerate(lines, 1):
        tally.lines = number
        for frame in writer.add(received_ns, message):
            processor = processors.get(frame.instrument)
            if processor is None:
                processor = Processor(frame.instrument, rules)
                processors[frame.instrument] = processor
            outcome = processor.feed(frame)
            if outcome.windows:
                tally.windows += len(outcome.windows)
                yield from outcome.windows
            if outcome.refused and len(tally.refused) < MAX_REFUSED_SHOWN:
                where = f"message {number}" if place is None else str(place)
                tally.refused += (RefusedMessage(where, each[1]) for each in outcome.refused)
    tally.other, tally.unreadable = writer.other, writer.unreadable
    tally.passed_over = writer.passed_over
    for processor in processors.values():
        tally.counts.update(processor.counts)
        tally.counts.update(processor.audit.counts())
        tally.served += processor.is_served
        if not processor.is_served:
            tally.unserved[processor.name] += processor.counts["unserved"]
