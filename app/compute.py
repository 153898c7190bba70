"""Windows of a recording, without Kafka, through the same processor as the live path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from app.processor import Outcome, Processor, Rules
from app.recording import DISCONNECT, read_gap_mark
from deribit.messages import channel_of, instrument_of, is_incremental_book
from deribit.statements import subject_of
from models.frame import (
    FRAME_VERSION,
    Connected,
    Disconnected,
    Frame,
    GapFound,
    Item,
    Notification,
)


@dataclass(slots=True)
class Tally:
    """What became of the lines of a recording."""

    lines: int = 0
    other: int = 0
    """Answers to requests, heartbeats, and notifications that are about no instrument."""
    unreadable: int = 0
    windows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    served: int = 0
    """Book channels of which windows were computed."""
    unserved: Counter[str] = field(default_factory=Counter)
    """Messages of instruments that are not served, by the instrument."""


def compute(
    lines: Iterable[tuple[int, bytes]], rules: Rules, tally: Tally | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the closed windows of a recording, in the order in which its lines close them.

    Each incremental book channel is computed for itself: windows of different channels of one
    instrument have different keys. A recording has no ticks, so only its own messages move time.
    """
    tally = tally or Tally()
    player = _Player(rules, tally)
    for received_ns, message in lines:
        tally.lines += 1
        for outcome in player.play(received_ns, message):
            tally.windows += len(outcome.windows)
            tally.counts["refused"] += len(outcome.refused)
            yield from outcome.windows
    for processor in player.processors():
        tally.counts.update(processor.counts)
        tally.counts.update(processor.audit.counts())
        tally.served += processor.is_served
        if not processor.is_served:
            tally.unserved[processor.name] += processor.counts["unserved"]


SESSION: Final = "recording"


class _Player:
    def __init__(self, rules: Rules, tally: Tally) -> None:
        self.rules = rules
        self.tally = tally
        self._by_instrument: dict[str, dict[str, Processor]] = {}
        self._by_channel: dict[str, Processor] = {}
        """The same, by the book channel that each follows."""
        self._connection = 1
        self._session = f"{SESSION}-1"

    def processors(self) -> Iterator[Processor]:
        """Iterate over the processors of all book channels."""
        for by_channel in self._by_instrument.values():
            yield from by_channel.values()

    def play(self, received_ns: int, message: bytes) -> Iterator[Outcome]:
        """Hand a line to the processors that it is about."""
        if message == DISCONNECT:
            for processor in self.processors():
                yield self._feed(processor, Disconnected(received_ns, "recorded"))
            self._connection += 1
            self._session = f"{SESSION}-{self._connection}"
            return
        if (mark := read_gap_mark(message)) is not None:
            item = GapFound(received_ns, mark.channel, mark.expected, mark.found)
            for processor in self._by_instrument.get(instrument_of(mark.channel), {}).values():
                yield self._feed(processor, item)
            return
        try:
            channel = channel_of(message)
        except ValueError:
            self.tally.unreadable += 1
            return
        if channel is None:
            self.tally.other += 1
            return
        if (known := self._by_channel.get(channel)) is not None:
            yield self._feed(known, Notification(received_ns, message))
            return
        if not (name := instrument_of(channel)):
            yield from self._announce(channel, Notification(received_ns, message))
            return
        by_channel = self._by_instrument.setdefault(name, {})
        if is_incremental_book(channel):
            processor = Processor(name, self.rules)
            processor.instrument.channel = channel
            self._by_channel[channel] = by_channel[channel] = processor
            targets: Iterable[Processor] = [processor]
        else:
            targets = by_channel.values()
        for processor in targets:
            yield self._feed(processor, Notification(received_ns, message))

    def _announce(self, channel: str, item: Notification) -> Iterator[Outcome]:
        """Hand what was said of an instrument, or of all, to the processors that there are."""
        subject = subject_of(channel, item.message)
        if subject is None:
            self.tally.other += 1
            return
        for processor in self.processors():
            if subject in ("", processor.name):
                yield self._feed(processor, item)

    def _feed(self, processor: Processor, item: Item) -> Outcome:
        session = self._session
        sequence = processor.sequence + 1
        items = [item]
        if processor.session != session:
            sequence = 1
            items = [Connected(0, SESSION, False), item]
        channel = processor.instrument.channel
        return processor.feed(
            Frame(FRAME_VERSION, processor.name, channel, session, sequence, items)
        )
