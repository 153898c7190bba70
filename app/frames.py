"""A recording as frames of the feed, with the receive times that it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.recording import DISCONNECT, read_gap_mark
from deribit.messages import channel_of, instrument_of, is_incremental_book
from deribit.statements import subject_of
from models.frame import (
    FRAME_VERSION,
    MAX_FRAME_BYTES,
    Connected,
    Disconnected,
    Frame,
    GapFound,
    Item,
    Notification,
)

REPLAYED: Final = "replay"
"""Stands for the worker in the marks of a recording that `replay` writes into a feed."""
FRAME_ITEMS: Final = 200
"""Notifications in a frame of a replay."""


class FrameWriter:
    """Collects items per instrument into frames that are numbered within their session."""

    def __init__(self, session: str, worker: str, book_channels: dict[str, str] | None = None):
        self.session = session
        self.worker = worker
        self.channels = book_channels or {}
        self._connection = 1
        self._items: dict[str, list[Item]] = {}
        self._bytes: dict[str, int] = {}
        self._sequences: dict[str, int] = {}

    def add(self, received_ns: int, message: bytes) -> Iterator[Frame]:
        """Take a line of a recording; yield the frames that it completes."""
        if message == DISCONNECT:
            for instrument in list(self._sequences.keys() | self._items.keys()):
                yield from self._add(instrument, Disconnected(received_ns, "recorded"), 0)
            yield from self.flush()
            self._connection += 1
            self._sequences.clear()
            return
        if (mark := read_gap_mark(message)) is not None:
            gap = GapFound(received_ns, mark.channel, mark.expected, mark.found)
            yield from self._add(instrument_of(mark.channel), gap, 0)
            return
        channel = channel_of(message)
        if not channel:
            return
        item = Notification(received_ns, message)
        if not (instrument := instrument_of(channel)):
            subject = subject_of(channel, message)
            for name in list(self.channels):
                if subject in ("", name):
                    yield from self._add(name, item, len(message))
            return
        if (
            is_incremental_book(channel)
            and self.channels.setdefault(instrument, channel) != channel
        ):
            return
        yield from self._add(instrument, item, len(message))

    def flush(self) -> Iterator[Frame]:
        """Yield what is collected."""
        for instrument in list(self._items):
            yield self._frame(instrument)

    def _add(self, instrument: str, item: Item, size: int) -> Iterator[Frame]:
        items = self._items.setdefault(instrument, [])
        if self._bytes.get(instrument, 0) + size > MAX_FRAME_BYTES and items:
            yield self._frame(instrument)
            items = self._items[instrument] = []
        if not items and instrument not in self._sequences:
            items.append(Connected(item.received_ns, self.worker, False))
        items.append(item)
        self._bytes[instrument] = self._bytes.get(instrument, 0) + size
        if len(items) >= FRAME_ITEMS:
            yield self._frame(instrument)

    def _frame(self, instrument: str) -> Frame:
        sequence = self._sequences[instrument] = self._sequences.get(instrument, 0) + 1
        self._bytes.pop(instrument, None)
        session = f"{self.session}-{self._connection}"
        channel = self.channels.get(instrument, "")
        items = self._items.pop(instrument)
        return Frame(FRAME_VERSION, instrument, channel, session, sequence, items)
