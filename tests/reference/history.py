"""The reference's history keeps everything a feed said, each fact with the clock it happened at.

Nothing is summed here. The book is rebuilt message by message; after each one its ten best levels
and its sizes near the mid are written down, with the instant, in one list. Every rule about what
is live, what is a gap and what moves the clock is in this file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.reference.book import Level, Side, State, state_of
from tests.reference.feed import BookMessage, Item, Malformed, Ticker, Trade, parse
from tests.reference.silence import Silences

TICK_LAG_MS: Final = 3_000
"""A tick moves the clock to this long before the venue's time, so that late messages still fit."""
MAX_AHEAD_MS: Final = 600_000
"""A book message further ahead than this of everything known is refused."""
MAX_JUMP_MS: Final = 3_600_000
"""A longer step of the clock is not filled with windows."""
MAX_QUIET_MS: Final = 3_000
"""A socket that was silent for longer makes its windows stale."""


Book = tuple[list[Level], list[Level]]
"""Bids and asks, best first."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One applied book notification, with the book after it and, if it follows one, before."""

    clock_ms: int
    change_id: int
    before: State | None
    after: State
    is_snapshot: bool


@dataclass(frozen=True, slots=True)
class TradeGap:
    """A hole in the numbers of trades."""

    clock_ms: int
    """When it showed."""
    missing: int
    since_ms: int
    until_ms: int
    """The missing trades are from between these two, as far as is known."""


@dataclass(slots=True)
class Mark:
    """Something that spoils a window: from an instant until the snapshot that ends it."""

    kind: str
    """`gap`, `reconnect` or `stale`."""
    from_ms: int
    until_ms: int | None
    """The clock when it ended, None while it lasts."""
    is_event: bool
    """Whether something happened at `from_ms`, too; a wait alone touches only what it lasts in."""

    def touches(self, start_ms: int, end_ms: int) -> bool:
        """Return whether `[start_ms, end_ms)` has a part of the time, or the event."""
        if self.happened_within(start_ms, end_ms):
            return True
        until_ms = end_ms if self.until_ms is None else min(end_ms, self.until_ms)
        return max(self.from_ms, start_ms) < until_ms

    def happened_within(self, start_ms: int, end_ms: int) -> bool:
        """Return whether `[start_ms, end_ms)` has the event."""
        return self.is_event and start_ms <= self.from_ms < end_ms


@dataclass(slots=True)
class History:
    """All that a feed said about one instrument on one book channel, in the order it said it."""

    instrument: str
    channel: str
    max_quiet_ms: int = MAX_QUIET_MS
    linear: bool | None = None
    """Whether sizes are in the base coin; None to take it from the name: `BTC_USDC-PERPETUAL`."""
    silences: Silences = field(default_factory=Silences)
    clock_ms: int | None = None
    first_snapshot_ms: int | None = None
    states: list[tuple[int, State | None]] = field(default_factory=list)
    """Each change of the book with its clock; None from where the book is not live."""
    observations: list[Observation] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    trades: list[tuple[int, Trade]] = field(default_factory=list)
    """Each that is not a repetition, with the clock when it arrived."""
    trade_gaps: list[TradeGap] = field(default_factory=list)
    following: list[tuple[int, bool]] = field(default_factory=list)
    """From which clock the trades channel was followed, or was not."""
    tickers: list[tuple[int | None, int, Ticker]] = field(default_factory=list)
    """Each with the clock when it arrived and how many session ends had been before it; of those
    before the first snapshot only the last."""
    session_ends: list[int] = field(default_factory=list)
    """The clock of each end or beginning of a session since the first snapshot."""
    jumps: list[tuple[int, int]] = field(default_factory=list)
    """Steps of the clock by more than MAX_JUMP_MS: from, to."""
    refused: list[str] = field(default_factory=list)
    _bids: Side = field(init=False)
    _asks: Side = field(init=False)
    _last_change_id: int | None = None
    _known: tuple[int, int] | None = None
    """The latest venue time told in this session, and the receive time of the last message then."""
    _received_ns: int = 0
    _known_at_ns: int = 0
    _follows_trades: bool = False
    _last_trade: int | None = None
    _last_trade_ms: int = 0
    """The latest time of a trade with a number."""

    def __post_init__(self) -> None:
        if self.linear is None:
            self.linear = "_" in self.instrument

    @property
    def book(self) -> Book | None:
        """The book as it is now; None before the first snapshot."""
        return (self._bids.levels(), self._asks.levels()) if self.first_snapshot_ms else None

    @property
    def change_id(self) -> int | None:
        """The last change of the book; None if the next can only be a snapshot."""
        return self._last_change_id

    @property
    def is_live(self) -> bool:
        """Whether the book follows its chain, and the venue is heard."""
        is_stale = any(mark.kind == "stale" and mark.until_ms is None for mark in self.marks)
        return bool(self.states) and self.states[-1][1] is not None and not is_stale

    def take(self, item: Item) -> None:
        """Write down what one item of the feed says."""
        kind = item[0]
        if kind == "message":
            self.silences.message()
            self._received_ns = item[1]
            self._message(item[2])
        elif kind == "connected":
            self.silences.connected()
            self._end_session()
            self._known = None
        elif kind == "disconnected":
            self._end_session()
        elif kind == "trades_followed":
            self._follow_trades(item[1])
        elif kind == "gap":
            if len(item) < 3 or item[2] == self.channel:
                self._break("gap")
        elif kind == "tick":
            self._tick(venue_ms=item[1], quiet_ms=item[2])
        else:
            raise ValueError(f"{kind!r} is not a kind of feed item")

    def _end_session(self) -> None:
        """From here on nothing is known until it is told in the next session."""
        self._break("reconnect")
        self.forget()

    def forget(self) -> None:
        """From here on trades and figures are not known until they are told again."""
        self._follow_trades(False)
        if self.clock_ms is None or self.first_snapshot_ms is None:
            self.tickers.clear()
        else:
            self.session_ends.append(self.clock_ms)

    def _follow_trades(self, is_followed: bool) -> None:
        self._follows_trades = is_followed
        if self.clock_ms is not None and self.first_snapshot_ms is not None:
            self.following.append((self.clock_ms, is_followed))

    def _message(self, message: bytes) -> None:
        try:
            content = parse(message, self.instrument, self.channel)
            if isinstance(content, BookMessage):
                self._check_time(content.timestamp_ms, self._known)
                self._book(content)
            elif isinstance(content, Ticker):
                self._check_time(content.timestamp_ms, self._known or self._clock_as_known())
                if self.first_snapshot_ms is None:
                    self.tickers.clear()
                self.tickers.append((self.clock_ms, len(self.session_ends), content))
            elif content is not None:
                for trade in content:
                    self._check_time(trade.timestamp_ms, self._known or self._clock_as_known())
                self._follow_trades(True)
                for trade in sorted(content, key=lambda trade: trade.sequence or 0):
                    self._trade(trade)
        except Malformed as error:
            self.refused.append(str(error))

    def _check_time(self, timestamp_ms: int, known: tuple[int, int] | None) -> None:
        if known is None:
            return
        venue_ms, at_ns = known
        passed_ms = max(0, (self._received_ns - at_ns) // 1_000_000)
        if timestamp_ms > venue_ms + passed_ms + MAX_AHEAD_MS:
            raise Malformed(f"timestamp {timestamp_ms} is too far ahead of {venue_ms}")

    def _know(self, venue_ms: int) -> None:
        if self._known is None or venue_ms >= self._known[0]:
            self._known = venue_ms, self._received_ns
            self._known_at_ns = self._received_ns

    def _clock_as_known(self) -> tuple[int, int] | None:
        return None if self.clock_ms is None else (self.clock_ms, self._known_at_ns)

    def _trade(self, trade: Trade) -> None:
        """A number that was passed is a repetition, unless the trade is later: a new numbering."""
        if trade.sequence is not None:
            last, self._last_trade = self._last_trade, trade.sequence
            last_ms = self._last_trade_ms
            is_later = trade.timestamp_ms > self._last_trade_ms
            if last is not None and trade.sequence <= last and not is_later:
                self._last_trade = last
                return
            self._last_trade_ms = max(self._last_trade_ms, trade.timestamp_ms)
            missing = 0 if last is None else trade.sequence - last - 1
            if missing > 0 and self.clock_ms is not None and self.first_snapshot_ms is not None:
                since_ms = min(last_ms, self.clock_ms)
                until_ms = max(trade.timestamp_ms, self.clock_ms)
                self.trade_gaps.append(TradeGap(self.clock_ms, missing, since_ms, until_ms))
        if self.clock_ms is not None and self.first_snapshot_ms is not None:
            self.trades.append((self.clock_ms, trade))

    def _book(self, message: BookMessage) -> None:
        follows = message.prev_change_id is not None
        if follows:
            if self._last_change_id is None or message.change_id <= self._last_change_id:
                return  # waiting for a snapshot, or a duplicate
            if message.prev_change_id != self._last_change_id:
                self._break("gap")
                return
        else:
            if self._last_change_id is not None and not self._holds(message):
                self._break("gap")  # changes are missing since the last message
            linear = self.linear is True
            self._bids, self._asks = Side(-1, linear), Side(+1, linear)
        self._bids.apply(message.bids)
        self._asks.apply(message.asks)
        after = state_of(self._bids, self._asks)
        self._know(message.timestamp_ms)
        clock_ms = self._advance(message.timestamp_ms)
        if after.mid is not None and after.bids[0].price >= after.asks[0].price:
            self._break("gap")
            return
        before = self.states[-1][1] if follows else None
        if not follows:
            if self.first_snapshot_ms is None:
                self._begin(clock_ms)
            for mark in self.marks:
                if mark.kind != "stale" and mark.until_ms is None:
                    mark.until_ms = clock_ms
        self._last_change_id = message.change_id
        self.states.append((clock_ms, after))
        seen = Observation(clock_ms, message.change_id, before, after, is_snapshot=not follows)
        self.observations.append(seen)

    def _holds(self, snapshot: BookMessage) -> bool:
        """Return whether the book is what a snapshot says."""
        told = [
            {change.price: change.amount for change in side}
            for side in (snapshot.bids, snapshot.asks)
        ]
        held = [
            {level.price: level.amount for level in side.levels()}
            for side in (self._bids, self._asks)
        ]
        return told == held

    def _begin(self, clock_ms: int) -> None:
        """Start counting, at the first snapshot: of what was before, only what still is counts."""
        self.first_snapshot_ms = clock_ms
        self.following.append((clock_ms, self._follows_trades))
        self.marks = [
            Mark("stale", clock_ms, None, False) for mark in self.marks if mark.until_ms is None
        ]
        assert self._known is not None
        latest_ms = self._known[0] + MAX_AHEAD_MS
        passed_ms = max(0, (self._received_ns - self._known[1]) // 1_000_000)
        self.tickers = [
            seen for seen in self.tickers if seen[2].timestamp_ms <= latest_ms + passed_ms
        ]

    def _tick(self, venue_ms: int, quiet_ms: int) -> None:
        """Silence lasts from the clock before the tick that tells it to the tick that ends it."""
        is_silent = self.silences.tick(venue_ms)
        self._know(venue_ms)
        before_ms = self.clock_ms
        lasting = [mark for mark in self.marks if mark.kind == "stale" and mark.until_ms is None]
        if quiet_ms <= self.max_quiet_ms and not is_silent:
            for mark in lasting:
                mark.until_ms = before_ms
            self._advance(venue_ms - TICK_LAG_MS)
            return
        clock_ms = self._advance(venue_ms - TICK_LAG_MS)
        if not lasting:
            self.marks.append(
                Mark("stale", clock_ms if before_ms is None else before_ms, None, False)
            )
        self.marks.append(Mark("stale", clock_ms, clock_ms, True))

    def _break(self, kind: str) -> None:
        """End the book's being live; it counts once until the next snapshot.

        A gap does not count while a reconnect is waited for: what is not known can't be lost.
        """
        self._last_change_id = None
        if self.clock_ms is None or self.first_snapshot_ms is None:
            return  # there is no window yet that it could spoil
        waiting = {
            mark.kind for mark in self.marks if mark.until_ms is None and mark.kind != "stale"
        }
        if kind not in waiting and (kind == "reconnect" or not waiting):
            self.marks.append(Mark(kind, self.clock_ms, None, True))
        self.states.append((self.clock_ms, None))

    def _advance(self, to_ms: int) -> int:
        if self.clock_ms is None:
            self.clock_ms = to_ms
        if to_ms > self.clock_ms:
            if to_ms - self.clock_ms > MAX_JUMP_MS:
                self.jumps.append((self.clock_ms, to_ms))
            self.clock_ms = to_ms
        return self.clock_ms
