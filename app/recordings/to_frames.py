"""A recording as frames of the feed: the one translation that `compute` and `replay` share.

What comes out is what ingest makes of the same arrivals. The ticks stand in the frames of each
instrument, not in frames of their own: so a replay needs no partitions.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from app.recordings.derived_ticks import DerivedTicks
from app.recordings.marks import (
    ConnectedMark,
    GapMark,
    InstrumentMark,
    Mark,
    SubscribedMark,
    TickMark,
    read_mark,
)
from app.recordings.reader import DISCONNECT
from deribit.decode_books_trades import Unreadable, channel_of, instrument_of, is_incremental_book
from deribit.decode_quotes_states import subject_of
from deribit.vocabulary import Kind
from models.frame import (
    FRAME_VERSION,
    MAX_ANNOUNCEMENTS,
    MAX_FRAME_BYTES,
    Connected,
    Described,
    Disconnected,
    Frame,
    GapFound,
    Item,
    Notification,
    Tick,
    TradesFollowed,
)

REPLAYED: Final = "replay"
"""Stands for the worker in the marks of a recording that `replay` writes into a feed."""
FRAME_ITEMS: Final = 200
"""Items in a frame of a replay."""
TRADES_PREFIX: Final = f"{Kind.TRADES}."


class FrameWriter:
    """Collects items per instrument into frames that are numbered within their session.

    Like a worker, it follows one incremental book of each instrument: of `books` if there are any,
    and then only their instruments; else the one that the recording has first.
    """

    def __init__(
        self, session: str, worker: str, *, items: int = FRAME_ITEMS, books: Iterable[str] = ()
    ) -> None:
        self.session = session
        self.worker = worker
        self.channels: dict[str, str] = {instrument_of(book): book for book in books}
        """By instrument: the book channel that is followed."""
        self.other = 0
        """Answers to requests, and notifications that are about no instrument."""
        self.unreadable = 0
        """Messages that are no JSON."""
        self.passed_over: Counter[str] = Counter()
        """Messages of book channels that are not followed, by channel."""
        self._is_limited = bool(self.channels)
        self._frame_items = items
        self._connection = 1
        self._simulated = False
        self._venue = ""
        self._routes: dict[str, str | None] = {}
        """By channel: the instrument that its messages are for; None if they are passed over."""
        self._completed: list[Frame] = []
        self._items: dict[str, list[Item]] = {}
        self._bytes: dict[str, int] = {}
        self._sequences: dict[str, int] = {}
        """By instrument that is open in this session: the number of its last frame."""
        self._descriptions: dict[str, InstrumentMark] = {}
        self._described: dict[str, InstrumentMark] = {}
        self._introduced: set[str] = set()
        self._with_trades: set[str] = set()
        """Instruments whose trades channel the venue has confirmed in this session."""
        self._said: deque[Notification] = deque(maxlen=MAX_ANNOUNCEMENTS)
        """What was said of all instruments in this session, for those that are opened later."""
        self._derived: DerivedTicks | None = DerivedTicks()
        """None in a session whose own ticks are recorded."""

    def add(self, received_ns: int, message: bytes) -> list[Frame]:
        """Take a line of a recording; return the frames that it completes."""
        if self._derived is not None:
            is_over = self._derived.is_over(received_ns)
            is_end = is_over or message == DISCONNECT
            until = self._derived.before_end if is_end else self._derived.until
            for tick in until(received_ns):
                self._tick(tick)
            if is_over:
                self._disconnect(received_ns)
                self._derived.until(received_ns)
        if message == DISCONNECT:
            self._disconnect(received_ns)
        elif (mark := read_mark(message)) is not None:
            self._mark(received_ns, mark)
        else:
            self._message(received_ns, message)
        completed, self._completed = self._completed, []
        return completed

    def flush(self) -> list[Frame]:
        """Return what is collected."""
        self._complete_all()
        completed, self._completed = self._completed, []
        return completed

    def _message(self, received_ns: int, message: bytes) -> None:
        try:
            channel = channel_of(message)
        except Unreadable:
            self.unreadable += 1
            return
        if not channel:
            self.other += 1
            return
        try:
            instrument = self._routes[channel]
        except KeyError:
            instrument = self._routes[channel] = self._route(channel)
        item = Notification(received_ns, message)
        if instrument:
            if self._derived is not None:
                self._derived.hear(received_ns, message)
            self._add(instrument, item, len(message))
        elif instrument is None:
            self.passed_over[channel] += 1
        else:
            self._announce(channel, item)

    def _route(self, channel: str) -> str | None:
        instrument = instrument_of(channel)
        if self._is_limited and instrument and instrument not in self.channels:
            return None
        if (
            is_incremental_book(channel)
            and self.channels.setdefault(instrument, channel) != channel
        ):
            return None
        return instrument

    def _disconnect(self, received_ns: int) -> None:
        for instrument in list(self._sequences):
            self._add(instrument, Disconnected(received_ns, "recorded"), 0)
        self._complete_all()
        self._connection += 1
        self._simulated, self._venue = False, ""
        self._sequences.clear()
        self._with_trades.clear()
        self._described.clear()
        self._introduced.clear()
        self._said.clear()
        self._derived = DerivedTicks()

    def _mark(self, received_ns: int, mark: Mark) -> None:
        match mark:
            case ConnectedMark(simulated, venue):
                self._simulated, self._venue, self._derived = simulated, venue, None
            case TickMark(venue_ms, quiet_ms):
                self._derived = None
                self._tick(Tick(received_ns, venue_ms, quiet_ms))
            case GapMark(channel, expected, found):
                if instrument := self._route_of_mark(channel):
                    gap = GapFound(received_ns, channel, expected, found)
                    self._add(instrument, gap, 0)
            case SubscribedMark(channels):
                for channel in channels:
                    self._subscribed(received_ns, channel, channels)
            case InstrumentMark(instrument):
                self._descriptions[instrument] = mark
                if instrument in self._sequences:
                    self._describe(instrument, received_ns)

    def _route_of_mark(self, channel: str) -> str:
        instrument = instrument_of(channel)
        return "" if self._is_limited and instrument not in self.channels else instrument

    def _subscribed(self, received_ns: int, channel: str, channels: list[str]) -> None:
        """Note that a channel is followed from here on: a book opens its instrument."""
        instrument = self._route_of_mark(channel)
        if instrument and channel.startswith(TRADES_PREFIX):
            self._with_trades.add(instrument)
            if instrument in self._sequences:
                self._append(instrument, TradesFollowed(received_ns, True), 0)
            return
        if not instrument or not is_incremental_book(channel):
            return
        followed = self.channels.get(instrument)
        if followed != channel:
            if self._is_limited or followed in channels:
                return
            self.channels[instrument] = channel  # the session has no other book of it
            self._routes.clear()
        self._open(instrument, received_ns)
        self._introduce(instrument, received_ns)

    def _open(self, instrument: str, received_ns: int) -> None:
        """Make an instrument known in this session."""
        if instrument not in self._sequences:
            self._sequences[instrument] = 0
            connected = Connected(received_ns, self.worker, self._simulated, self._venue)
            self._append(instrument, connected, 0)

    def _introduce(self, instrument: str, received_ns: int) -> None:
        """Tell an instrument that is followed from here on what has been said before."""
        self._describe(instrument, received_ns)
        if instrument not in self._introduced:
            self._introduced.add(instrument)
            if instrument in self._with_trades:
                self._append(instrument, TradesFollowed(received_ns, True), 0)
            for item in list(self._said):
                self._append(instrument, item, len(item.message))

    def _describe(self, instrument: str, received_ns: int) -> None:
        mark = self._descriptions.get(instrument)
        if mark is None or self._described.get(instrument) == mark:
            return
        self._described[instrument] = mark
        item = Described(received_ns, mark.linear, mark.tick_sizes, mark.price_index)
        self._append(instrument, item, 0)

    def _announce(self, channel: str, item: Notification) -> None:
        """Hand what was said of an instrument, or of all, to those that are open."""
        subject = subject_of(channel, item.message)
        if subject is None:
            self.other += 1
        elif subject:
            if subject in self._sequences:
                self._append(subject, item, len(item.message))
        else:
            self._said.append(item)
            for name in list(self._sequences):
                self._append(name, item, len(item.message))

    def _tick(self, tick: Tick) -> None:
        for instrument in list(self._sequences):
            self._append(instrument, tick, 0)

    def _add(self, instrument: str, item: Item, size: int) -> None:
        if instrument not in self._sequences:
            self._open(instrument, item.received_ns)
            if self._derived is not None:  # there are no marks that say when it was followed
                self._introduce(instrument, item.received_ns)
        self._append(instrument, item, size)

    def _append(self, instrument: str, item: Item, size: int) -> None:
        items = self._items.setdefault(instrument, [])
        if items and self._bytes.get(instrument, 0) + size > MAX_FRAME_BYTES:
            self._complete(instrument)
            items = self._items[instrument] = []
        items.append(item)
        self._bytes[instrument] = self._bytes.get(instrument, 0) + size
        if len(items) >= self._frame_items:
            self._complete(instrument)

    def _complete(self, instrument: str) -> None:
        sequence = self._sequences[instrument] = self._sequences[instrument] + 1
        self._bytes.pop(instrument, None)
        session = f"{self.session}-{self._connection}"
        channel = self.channels.get(instrument, "")
        items = self._items.pop(instrument)
        self._completed.append(Frame(FRAME_VERSION, instrument, channel, session, sequence, items))

    def _complete_all(self) -> None:
        for instrument in list(self._items):
            self._complete(instrument)
