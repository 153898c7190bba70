"""One instrument in event time: its book, what is observed of it, its clock and its windows.

It is told everything in the order of the feed, and answers the windows that this closes. Nothing in
it depends on when it is told: the same feed gives the same windows, live, replayed or recovered.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from orderbook.book.book import Book, Crossed, Duplicate, Gap
from orderbook.book.side import ASK, BID, Side
from orderbook.events import Change, Ticker, Trade
from orderbook.measures import Snapshot, measure
from orderbook.trade_sequence import TradeSequence
from orderbook.units import from_record
from orderbook.windows import pane as p
from orderbook.windows.record import Value, is_outdated, window_record
from orderbook.windows.span import Span
from orderbook.windows.timeline import Carried, Timeline

IDLE_LATENESS_MS: Final = 3_000
"""How far the clock stays behind a tick's venue time: notifications were seen to take 2.8 s."""
MAX_AHEAD_MS: Final = 600_000
"""A stamp further ahead of the venue's time is refused. As wide as this for recordings that are
played many times as fast as they were made: ticks then come once in so many seconds of theirs."""

Windows = list[dict[str, Value]]


class Status(StrEnum):
    """The reliability of a book, and if it is not reliable, why."""

    WAITING = "waiting"
    """There has been no snapshot yet."""
    LIVE = "live"
    GAP = "gap"
    RECONNECT = "reconnect"


_BREAKS: Final = {
    Status.GAP: (p.FLAG_GAP, p.COUNT_GAPS),
    Status.RECONNECT: (p.FLAG_RECONNECT, p.COUNT_RECONNECTS),
}


class Refused(ValueError):
    """A message cannot be taken: it changes nothing."""


class Instrument:
    """Book, clock and windows of one instrument.

    `linear`: sizes are in the base coin, not USD. `spans`: the windows to publish.
    `grace_ms`: event time that a window waits for its trades.
    """

    def __init__(self, name: str, *, linear: bool, spans: tuple[Span, ...], grace_ms: int) -> None:
        self.name = name
        self.linear = linear
        self.channel = ""
        self.book = Book(linear=linear)
        self.status = Status.WAITING
        self.is_live = False
        """Whether the book follows its chain: what the status says, without asking an enum."""
        self.is_stale = False
        self.clock_ms: int | None = None
        """Event time; it never goes back."""
        self.known_ms: int | None = None
        """The latest venue time that this session has told; None until it has."""
        self.known_ns = 0
        """When that was, by the receiver's clock; it only says how much time has passed since."""
        self.received_ns = 0
        self.venue = ""
        """Where the sessions lead: `deribit`, `deribit-test`, `simulated`; empty if unknown."""
        self.ticker: Ticker | None = None
        """Of this session, with the greatest timestamp; before the first snapshot, the last to
        arrive."""
        self.follows_trades = False
        """Whether the trades channel is followed, so that no trade means that there was none."""
        self.has_jumped = False
        """Whether the last snapshot differed from a book that was live: changes were missing."""
        self._timeline = Timeline(spans=spans, grace_ms=grace_ms, linear=linear)
        self._numbering = TradeSequence()
        self._waiting_flags = 0
        """Why a snapshot is waited for; a gap may have been followed by a disconnect."""
        self.is_top_new = False
        """Whether the last observation found another best bid or ask, or was a book's first."""
        self._follows = False
        """Whether the book has been observed since its snapshot, so that flow can be."""
        self._seen_mid = 0
        """Twice the mid that the current pane has seen last; 0 after a break."""
        self._state: Snapshot | None = None
        """Memo of `state()`."""

    # What the feed tells

    def hear(self, received_ns: int) -> None:
        """Note when the next message was received, ns since the epoch by the receiver's clock."""
        self.received_ns = received_ns

    def connect(self) -> None:
        """A session begins; the book is not known until its snapshot."""
        self.disconnect()
        self.known_ms = None  # any time may have passed

    def disconnect(self) -> None:
        """The session ended."""
        self._break(Status.RECONNECT)
        self.forget()

    def forget(self) -> None:
        """Nothing is told any more of trades and figures, until something is."""
        self.follow_trades(False)
        self.ticker = None
        if self._timeline.is_started:
            self._timeline.forget_ticker()

    def follow_trades(self, is_followed: bool) -> None:
        """The trades channel is followed from now on, or is not."""
        if is_followed != self.follows_trades:
            self.follows_trades = is_followed
            if self._timeline.is_started and self.clock_ms is not None:
                self._timeline.meter.follow_trades(is_followed, self.clock_ms)

    def lose(self) -> None:
        """Something of the feed is missing; the book is not known until the next snapshot."""
        self._break(Status.GAP)

    def tick(self, venue_ms: int, quiet_ms: int, stale_after_ms: int) -> Windows:
        """Time passed at the venue; answer the windows that this closes.

        If the socket was quiet for too long, the time since is stale until a tick that is not.
        """
        self._know(venue_ms)
        self.is_stale = quiet_ms > stale_after_ms
        windows = self._move_clock(venue_ms - IDLE_LATENESS_MS)
        if self.is_stale and self._timeline.is_started:
            self._timeline.current.flags |= p.FLAG_STALE
        return windows

    def change(self, change: Change) -> tuple[Windows, Gap | Duplicate | Crossed | None]:
        """A notification of the book; answer the windows it closes, and why it was not applied.

        While a snapshot is waited for, changes are passed over. Raises Refused if the time stamp
        cannot be: too far ahead of all that is known.
        """
        self._check_time(change.timestamp_ms, self.known_ms)
        if change.previous_id is not None:
            if not self.is_live:
                return [], None
            problem = self.book.why_not(change)
            if problem is not None:
                if isinstance(problem, Gap):
                    self.lose()
                return [], problem
        else:
            self.has_jumped = self.is_live and not self.book.is_as(change)
            if self.has_jumped:
                self.lose()
        self._know(change.timestamp_ms)
        windows = self._move_clock(change.timestamp_ms)
        outcome = self.book.apply(change)
        self._state = None
        if isinstance(outcome, Crossed):
            self.lose()
            return windows, outcome
        if change.previous_id is None:
            self._follows = False
            self._waiting_flags = 0
            if not self._timeline.is_started:
                self._start()
            self._timeline.current.counts[p.COUNT_SNAPSHOTS] += 1
        self.status = Status.LIVE
        self.is_live = True
        self._observe()
        return windows, None

    def trades(self, trades: list[Trade]) -> None:
        """Trades of one notification; those that were seen already are ignored.

        Raises Refused, and takes none, if a time stamp of one cannot be.
        """
        for trade in trades:
            self._check_time(trade.timestamp_ms, self._known_or_clock())
        self.follow_trades(True)
        for trade, missing, since_ms in self._numbering.sort(trades):
            if not self._timeline.is_started or self.clock_ms is None:
                continue
            if missing:
                counts = self._timeline.current.counts
                counts[p.COUNT_TRADE_GAPS] += 1
                counts[p.COUNT_MISSED_TRADES] += missing
                until_ms = max(trade.timestamp_ms, self.clock_ms)
                self._timeline.miss_trades(min(since_ms, self.clock_ms), until_ms)
            self._timeline.add_trade(trade)

    def see_ticker(self, ticker: Ticker) -> None:
        """The venue's own figures; raises Refused if their time stamp cannot be."""
        self._check_time(ticker.timestamp_ms, self._known_or_clock())
        if not self._timeline.is_started:
            self.ticker = ticker
            return
        if self.ticker is None or ticker.timestamp_ms >= self.ticker.timestamp_ms:
            self.ticker = ticker
        self._timeline.see_ticker(ticker)

    # What it knows

    def state(self) -> Snapshot | None:
        """Return the measured state, or None while the book is not live and two-sided."""
        if not self.is_live:
            return None
        if self._state is None and self.book.is_two_sided:
            self._state = measure(self.book, linear=self.linear)
        return self._state

    def is_outdated(self, stated_ms: int) -> bool:
        """Return whether a figure that the venue stated then is too old to be of now."""
        now_ms = self._known_or_clock()
        return now_ms is not None and is_outdated(stated_ms, now_ms)

    def _know(self, venue_ms: int) -> None:
        if self.known_ms is None or venue_ms >= self.known_ms:
            self.known_ms = venue_ms
            self.known_ns = self.received_ns

    def _known_or_clock(self) -> int | None:
        return self.clock_ms if self.known_ms is None else self.known_ms

    def _check_time(self, timestamp_ms: int, known_ms: int | None) -> None:
        """Refuse what is stamped too far ahead, allowing for the time that has passed since."""
        if known_ms is None:
            return
        passed_ms = max(0, self.received_ns - self.known_ns) // 1_000_000
        ahead_ms = timestamp_ms - known_ms - passed_ms
        if ahead_ms > MAX_AHEAD_MS:
            raise Refused(f"timestamp {timestamp_ms} is {ahead_ms} ms ahead of the venue's")

    def _move_clock(self, time_ms: int) -> Windows:
        """Move the clock, unless that would be backwards; answer the windows that this closes."""
        clock = self.clock_ms
        if clock is not None and time_ms <= clock:
            return []
        timeline = self._timeline
        if clock is None or not timeline.is_started:
            self.clock_ms = time_ms
            return []
        self._settle()
        self.clock_ms = time_ms
        flags = self._waiting_flags | (p.FLAG_STALE if self.is_stale else 0)
        if time_ms < timeline.quiet_until_ms and not flags:
            return []
        state = self.state() if time_ms >= timeline.current.end_ms else None
        complete = timeline.advance(clock, time_ms, Carried(state, flags))
        return [
            window_record(
                window,
                instrument=self.name,
                channel=self.channel,
                venue=self.venue,
                linear=self.linear,
            )
            for window in complete
        ]

    def _start(self) -> None:
        """Begin the windows, at the first snapshot."""
        assert self.clock_ms is not None
        self._timeline.start(self.clock_ms)
        self._timeline.meter.follow_trades(self.follows_trades, self.clock_ms)
        if self.ticker is not None:
            try:
                self.see_ticker(self.ticker)
            except Refused:  # it came before any time was known that it could be compared with
                self.ticker = None

    def _break(self, status: Status) -> None:
        """The book is of no use until the next snapshot.

        Before the first one nothing was known, so nothing is lost. A break counts once until the
        next snapshot; a gap does not count while a reconnect is waited for, the reverse does.
        """
        if self.status in (Status.WAITING, status) or (status is Status.GAP and not self.is_live):
            return
        self.status = status
        self.is_live = False
        self._follows = False
        self._state = None
        self._seen_mid = 0
        assert self.clock_ms is not None
        self._timeline.meter.stop(self.clock_ms)
        flag, count = _BREAKS[status]
        self._waiting_flags |= flag
        pane = self._timeline.current
        pane.flags |= flag
        pane.counts[count] += 1

    # Observations

    def _observe(self) -> None:
        """Let the fronts count, after a message that was applied."""
        assert self.clock_ms is not None
        timeline, pane = self._timeline, self._timeline.current
        bid_side, ask_side = self.book.bids, self.book.asks
        flow = pane.flow if self._follows else None
        is_other = bid_side.follow(flow)
        is_other |= ask_side.follow(flow)
        self._follows = True
        bids, asks = bid_side.known_front, ask_side.known_front
        self.is_top_new = bids.is_best_new or asks.is_best_new
        counts = pane.counts
        counts[p.COUNT_OBSERVATIONS] += 1
        if not bid_side.keys or not ask_side.keys:
            self._seen_mid = 0
            timeline.meter.stop(self.clock_ms)
            return
        counts[p.COUNT_MEASURED] += 1
        timeline.meter.observe(bids, asks, self.clock_ms, is_other=is_other)
        if not self.is_top_new and self._seen_mid:
            return
        twice_mid = asks.keys[0] - bids.keys[0]
        if twice_mid != self._seen_mid:  # otherwise the pane saw it, or it was carried in
            self._seen_mid = twice_mid
            pane.see_mid(twice_mid)

    def _settle(self) -> None:
        """Let the meter follow the book: time is about to pass, or the sums to be read."""
        meter = self._timeline.meter
        if not meter.is_settled:
            assert self.clock_ms is not None
            meter.settle(self.book, self.clock_ms)

    # Recovery

    def to_record(self) -> list[Any]:
        """Return everything that the future depends on, as plain lists and numbers."""
        if self._timeline.is_started and self.clock_ms is not None:
            self._settle()
            self._timeline.meter.flush(self._timeline.current, self.clock_ms)
        book = self.book
        return [
            self.channel,
            [book.change_id, book.timestamp_ms, book.bids.to_record(), book.asks.to_record()],
            str(self.status),
            self.is_stale,
            self.clock_ms,
            [self.known_ms, self.known_ns, self.received_ns],
            self._numbering.last,
            [self.venue, self.follows_trades, self.ticker],
            self._waiting_flags,
            self._follows,
            self._timeline.to_record(),
        ]

    def restore(self, record: list[Any]) -> None:
        """Take the state of a record; raise ValueError if it breaks an invariant."""
        self.channel, book, status, self.is_stale, self.clock_ms, known = record[:6]
        self.known_ms, self.known_ns, self.received_ns = known
        trade, told, self._waiting_flags, follows, timeline = record[6:]
        self.venue, self.follows_trades, ticker = told
        self._numbering.last = None if trade is None else (trade[0], trade[1])
        self.status = Status(status)
        self.is_live = self.status is Status.LIVE
        self.ticker = None if ticker is None else Ticker(*ticker)
        self.book.change_id, self.book.timestamp_ms, *sides = book
        bids, asks = (from_record(side) for side in sides)
        self.book.bids = Side(BID, zip(bids[::2], bids[1::2], strict=True), linear=self.linear)
        self.book.asks = Side(ASK, zip(asks[::2], asks[1::2], strict=True), linear=self.linear)
        self._timeline.restore(timeline)
        self._state = None
        # What was observed last is what the book is: only breaks make the two differ.
        self._follows = follows
        self.book.bids.follow(None)
        self.book.asks.follow(None)
        self.check()
        if self._timeline.is_started and self.clock_ms is not None:
            self._timeline.resume(self.clock_ms)
            self._timeline.meter.follow_trades(self.follows_trades, self.clock_ms)
            if self.is_live and self.book.is_two_sided:
                self._timeline.meter.resume(self.book, self.clock_ms)

    def check(self) -> None:
        """Raise ValueError if an invariant is broken; asserted when stored and when read back."""
        if self.is_live:
            self.book.check()
        if self._timeline.is_started:
            if self.clock_ms is None:
                raise ValueError("there are windows, but no clock")
            self._timeline.check(self.clock_ms)
