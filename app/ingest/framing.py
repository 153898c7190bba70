"""The framer puts what arrives into frames, in an order that replays as it happened.

Items of one instrument stay in order within its frames, and no item overtakes a tick: a tick says
that all before it has come. The first item of an instrument in a session is Connected. Each
connection has a framer; all of a worker share an outbox, so that an instrument that changes its
connection ends on the one before it begins on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from models.frame import (
    FRAME_VERSION,
    MAX_FRAME_BYTES,
    MAX_FRAME_ITEMS,
    RETURN_MARK,
    Connected,
    Disconnected,
    Frame,
    Item,
    Tick,
    encode_frame,
)

ITEM_OVERHEAD_BYTES: Final = 24
"""What an item takes beside its message: the stamp, the lengths, the tag; a mark in whole."""


class Record(NamedTuple):
    """A frame, ready for Kafka."""

    key: bytes
    value: bytes
    partition: int
    received_ns: int = 0
    """When the first of its items was received."""


@dataclass(slots=True)
class _Draft:
    frame: Frame
    partition: int
    size: int = 0


@dataclass(slots=True)
class _Stream:
    """Holds what is known of an instrument within the session."""

    partition: int
    session: str
    returns: int = 0
    sequence: int = 0
    channel: str = ""
    is_open: bool = False


@dataclass(slots=True)
class FrameCounts:
    frames: int = 0
    items: int = 0
    bytes: int = 0


class Outbox:
    """Frames that wait to be published, in order, and those that still take items."""

    def __init__(self) -> None:
        self.counts = FrameCounts()
        self._drafts: list[_Draft] = []
        self._open: dict[str, _Draft] = {}

    def __len__(self) -> int:
        return len(self._drafts)

    @property
    def oldest_ns(self) -> int | None:
        """Return when the first item of the first frame was received; None if there is none."""
        return self._drafts[0].frame.items[0].received_ns if self._drafts else None

    def append(self, instrument: str, stream: _Stream, item: Item, size: int) -> None:
        """Append an item to the instrument's frame, or to a new one where that is full."""
        draft = self._open.get(instrument)
        if (
            draft is None
            or len(draft.frame.items) >= MAX_FRAME_ITEMS
            or draft.size + size > MAX_FRAME_BYTES
        ):
            stream.sequence += 1
            frame = Frame(
                FRAME_VERSION, instrument, stream.channel, stream.session, stream.sequence, []
            )
            draft = _Draft(frame, stream.partition)
            self._open[instrument] = draft
            self._drafts.append(draft)
        draft.frame.items.append(item)
        draft.size += size

    def close(self, instrument: str) -> None:
        """End the frame of an instrument: what comes next is not of the same stream."""
        self._open.pop(instrument, None)

    def tick(self, session: str, partitions: Iterable[int], tick: Tick) -> None:
        """Append a tick for each partition, after all that came before."""
        self._open = {}
        for partition in sorted(partitions):
            frame = Frame(FRAME_VERSION, "", "", session, 0, [tick])
            self._drafts.append(_Draft(frame, partition))

    def take(self) -> list[Record]:
        """Return all frames, each once, in the order in which they must be published."""
        drafts, self._drafts, self._open = self._drafts, [], {}
        records = []
        for draft in drafts:
            frame = draft.frame
            value, received_ns = encode_frame(frame), frame.items[0].received_ns
            records.append(Record(frame.instrument.encode(), value, draft.partition, received_ns))
            self.counts.items += len(frame.items)
            self.counts.bytes += len(value)
        self.counts.frames += len(records)
        return records


@dataclass(slots=True)
class Framer:
    """Frames of one connection's sessions, one session at a time."""

    worker: str
    partition_of: Callable[[str], int]
    outbox: Outbox = field(default_factory=Outbox)
    _session: str = ""
    _simulated: bool = False
    _venue: str = ""
    _streams: dict[str, _Stream] = field(default_factory=dict)

    def begin(self, session: str, simulated: bool, venue: str = "") -> None:
        """Begin a session at a venue: numbers start at 1 again, and every instrument anew."""
        assert not self.open_instruments(), "a session begins before the last one was ended"
        self._session = session
        self._simulated = simulated
        self._venue = venue
        self._streams = {}

    def follow(self, instrument: str, channel: str, received_ns: int) -> None:
        """Open an instrument, if it is not: it is known from here on."""
        stream = self._streams.get(instrument)
        if stream is None:
            partition = self.partition_of(instrument)
            stream = self._streams[instrument] = _Stream(partition, self._session)
        if not stream.is_open:
            if stream.sequence:  # it was given up: another worker may have had it since
                stream.returns += 1
                stream.session = f"{self._session}{RETURN_MARK}{stream.returns}"
                stream.sequence = 0
            stream.is_open = True
            stream.channel = channel
            mark = Connected(received_ns, self.worker, self._simulated, self._venue)
            self.outbox.append(instrument, stream, mark, ITEM_OVERHEAD_BYTES)

    def add(
        self, instrument: str, channel: str, item: Item, received_ns: int, size: int = 0
    ) -> None:
        """Append an item, with a message of `size` bytes, to an instrument; open it if need be."""
        stream = self._streams.get(instrument)
        if stream is None or not stream.is_open:
            self.follow(instrument, channel, received_ns)
            stream = self._streams[instrument]
        self.outbox.append(instrument, stream, item, size + ITEM_OVERHEAD_BYTES)

    def end(self, instrument: str, reason: str, received_ns: int) -> None:
        """Close an instrument, if it is open: it is not known from here on."""
        stream = self._streams.get(instrument)
        if stream is not None and stream.is_open:
            mark = Disconnected(received_ns, reason)
            self.outbox.append(instrument, stream, mark, ITEM_OVERHEAD_BYTES)
            stream.is_open = False
            self.outbox.close(instrument)

    def end_all(self, reason: str, received_ns: int) -> None:
        """Close all instruments: the session has ended."""
        for instrument in self.open_instruments():
            self.end(instrument, reason, received_ns)

    def tick(self, partitions: Iterable[int], tick: Tick) -> None:
        """Append a tick for every instrument of these partitions, after all that came before."""
        self.outbox.tick(self._session, partitions, tick)

    def open_instruments(self) -> list[str]:
        """Return the instruments that are known in this session."""
        return [name for name, stream in self._streams.items() if stream.is_open]

    def knows(self, instrument: str) -> bool:
        """Return whether an instrument is or was known in this session."""
        return instrument in self._streams

    def channel_of(self, instrument: str) -> str | None:
        """Return the book channel of an instrument that is open; None if it is not."""
        stream = self._streams.get(instrument)
        return stream.channel if stream is not None and stream.is_open else None

    def session_of(self, instrument: str) -> str | None:
        """Return the session of an instrument that is open; None if it is not."""
        stream = self._streams.get(instrument)
        return stream.session if stream is not None and stream.is_open else None

    def take(self) -> list[Record]:
        """Return all frames of the outbox, each once."""
        return self.outbox.take()
