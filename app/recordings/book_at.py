"""The order book of one instrument as of a past instant, from frames: of a recording or the feed.

It is the processor's own book, so what breaks a live book (a gap, the end of a session) breaks this
one in the same place, and `status` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from app.processing.processor import Processor, Rules
from deribit.decode_books_trades import decode
from deribit.decode_fields import Unreadable
from models.frame import Frame, Item, Notification, Tick, connection_of
from orderbook.events import Change
from orderbook.units import UNIT

_RULES: Final = Rules((1_000,), 0, 3_000)
"""A window configuration, as a processor needs one; its windows are not used here."""

Given = dict[tuple[str, str], tuple[int, int]]
"""By instrument and session: the last number of a frame, and the last one that was given."""


class NoBook(Exception):
    """There is no such book; the text says why."""


class BookAt:
    """Follows one instrument up to an instant: a venue time in ms, or a change_id.

    At a time, it is the book after the last message that the venue stamped with that time or an
    earlier one.
    """

    def __init__(
        self, instrument: str, *, at_ms: int | None = None, change_id: int | None = None
    ) -> None:
        self.instrument = instrument
        self._at_ms = at_ms
        self._change_id = change_id
        self._processor = Processor(instrument, _RULES)
        self._given: Given = {}
        self._known_ms = 0
        """The latest venue time of which the frames tell."""

    def take(self, frames: Iterable[Frame]) -> bool:
        """Apply frames; return whether the instant is reached, after which nothing is applied."""
        return any(self._step(frame) for frame in one_by_one(frames, self._given))

    def _step(self, frame: Frame) -> bool:
        if frame.instrument not in ("", self.instrument):
            return False
        if self._at_ms is not None and self._is_later(frame.items[0], self._at_ms, frame.session):
            return True
        self._processor.feed(frame)
        found = self._processor.instrument.book.change_id
        return self._change_id is not None and found is not None and found >= self._change_id

    def _is_later(self, item: Item, at_ms: int, session: str) -> bool:
        """Return whether an item is a change of the book after a time.

        A tick only shows that the time is over: a change is sent some time after its time stamp.
        """
        if type(item) is Tick:
            if session == connection_of(self._processor.session):
                self._known_ms = max(self._known_ms, item.venue_ms)
            return False
        if type(item) is not Notification:
            return False
        try:
            decoded = decode(item.message, self.instrument)
        except Unreadable:
            return False  # the processor refuses it, too
        if decoded is None or not isinstance(decoded[1], Change):
            return False
        self._known_ms = max(self._known_ms, decoded[1].timestamp_ms)
        return decoded[1].timestamp_ms > at_ms

    def answer(self, depth: int | None = None) -> dict[str, Any]:
        """Return the book, levels best first as [price, size]; sizes as the venue quotes them.

        Raises NoBook where there was none then, or where what was read ends before the instant.
        """
        book, name = self._processor.instrument.book, self.instrument
        if book.change_id is None:
            raise NoBook(f"{name} has no book: no snapshot of it came before")
        if self._at_ms is not None and self._known_ms <= self._at_ms:
            raise NoBook(f"what was read of {name} ends at {self._known_ms} ms, before that time")
        if self._change_id is not None and book.change_id != self._change_id:
            raise NoBook(
                f"the book of {name} was never at change {self._change_id}: "
                f"it went to {book.change_id}"
            )
        return {
            "instrument": name,
            "channel": self._processor.instrument.channel,
            "status": self._processor.status,
            "change_id": book.change_id,
            "timestamp_ms": book.timestamp_ms,
            "at_ms": self._at_ms,
            "bids": [[price / UNIT, size / UNIT] for price, size in book.bids.top(depth or 10**9)],
            "asks": [[price / UNIT, size / UNIT] for price, size in book.asks.top(depth or 10**9)],
        }


def one_by_one(frames: Iterable[Frame], given: Given) -> Iterator[Frame]:
    """Yield each item as a frame of its own, numbered anew; a hole in the numbers stays a hole.

    `given` is kept from one call to the next.
    """
    for frame in frames:
        if frame.sequence == 0:
            for item in frame.items:
                yield msgspec.structs.replace(frame, items=[item])
            continue
        key = frame.instrument, frame.session
        last, number = given.get(key, (0, 0))
        if frame.sequence <= last:
            continue  # a duplicate
        number += frame.sequence - last - 1
        for item in frame.items:
            number += 1
            yield msgspec.structs.replace(frame, sequence=number, items=[item])
        given[key] = frame.sequence, number
