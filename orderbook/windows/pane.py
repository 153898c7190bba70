"""A pane is what happened to an instrument in one short span of event time; panes merge to windows.

Everything is an integer sum, a minimum, a maximum, a first or a last, so merging is associative and
exact: a window is the same however its panes were grouped, recovered or replayed. A window that is
being put together is a pane too.
"""

from __future__ import annotations

from typing import Any, Final

from orderbook.book.depth_bands import BANDS_BP
from orderbook.book.top_levels import FLOW_LEVELS, LEVELS
from orderbook.events import Ticker, Trade
from orderbook.measures import Snapshot
from orderbook.units import Boxed, from_record, to_record

FLAG_GAP: Final = 1
FLAG_RECONNECT: Final = 2
FLAG_STALE: Final = 4

# Places in the lists of sums.
COUNT_OBSERVATIONS, COUNT_TRADES, COUNT_BLOCK_TRADES, COUNT_LIQUIDATIONS = range(4)
COUNT_GAPS, COUNT_RECONNECTS, COUNT_LATE_TRADES = range(4, 7)
COUNT_MEASURED: Final = 7
"""Observations after which the book was live and two-sided."""
COUNT_TRADE_GAPS, COUNT_MISSED_TRADES = range(8, 10)
COUNT_COMBO_TRADES, COUNT_SNAPSHOTS = range(10, 12)
COUNTS: Final = 12

TIME_VALID: Final = 0
TIME_SPREAD: Final = 1
TIME_LEVELS: Final = 2
TIME_BANDS: Final = TIME_LEVELS + len(LEVELS)
TIME_BANDS_VALID: Final = TIME_BANDS + len(BANDS_BP)
TIME_USD: Final = TIME_BANDS_VALID + len(BANDS_BP)
TIME_FLOW_USD: Final = TIME_USD + 2 * (len(LEVELS) - 1)
"""USD of the bids within the flow's levels; of the asks in the next place."""
TIME_TRADES: Final = TIME_USD + 2 * (len(LEVELS) + len(BANDS_BP))
"""Time in which the trades channel was followed."""
TIMES: Final = TIME_TRADES + 1

EVENTS: Final = len(LEVELS)

BUY_USD, SELL_USD, BLOCK_USD, COMBO_USD, LIQUIDATION_BUY_USD, LIQUIDATION_SELL_USD = range(6)
TRADED: Final = 6


def _add(sums: list[Boxed], others: list[Boxed]) -> None:
    """Add integers to integers, place by place."""
    for place, other in enumerate(others):
        if other:  # most panes have few trades and breaks
            sums[place] += other


class Pane:
    """Sums over `[start_ms, end_ms)`, and the states at its edges."""

    __slots__ = (
        "close",
        "counts",
        "end_ms",
        "events",
        "flags",
        "flow",
        "high",
        "is_context_new",
        "low",
        "missed_since_ms",
        "open_mid",
        "start_ms",
        "ticker",
        "times",
        "traded",
    )

    def __init__(self, start_ms: int, end_ms: int) -> None:
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.flags = 0
        self.open_mid: int | None = None
        """Twice the mid just before the start, in units of 1e-8; high and low likewise."""
        self.high: int | None = None
        self.low: int | None = None
        self.close: Snapshot | None = None
        """The state just before the end; None until then, and if the book was of no use then."""
        self.counts = [0] * COUNTS
        self.times = [0] * TIMES
        self.events = [0] * EVENTS
        self.flow = [0] * FLOW_LEVELS
        self.traded = [0] * TRADED
        self.ticker: Ticker | None = None
        """The ticker with the greatest timestamp before the end that is known."""
        self.is_context_new = False
        """Whether a session began or ended: tickers from before do not count any more."""
        self.missed_since_ms: int | None = None
        """Since when trades may be missing, according to holes in their numbers."""

    def enter(self, twice_mid: int | None) -> None:
        """Begin with the state carried over the start; None if there was none."""
        self.open_mid = self.high = self.low = twice_mid

    def see_mid(self, twice_mid: int) -> None:
        """Let a mid count for high and low."""
        if self.high is None or self.low is None:
            self.high = self.low = twice_mid
        elif twice_mid > self.high:
            self.high = twice_mid
        elif twice_mid < self.low:
            self.low = twice_mid

    def add_trade(self, trade: Trade, *, linear: bool) -> None:
        """Count a trade; block trades and legs of combos are no order flow, and counted apart."""
        usd = trade.price * trade.size if linear else trade.size
        if trade.is_block:
            self.counts[COUNT_BLOCK_TRADES] += 1
            self.traded[BLOCK_USD] += usd
            return
        if trade.is_combo:
            self.counts[COUNT_COMBO_TRADES] += 1
            self.traded[COMBO_USD] += usd
            return
        self.counts[COUNT_TRADES] += 1
        self.traded[BUY_USD if trade.is_buy else SELL_USD] += usd
        if trade.liquidated:
            self.counts[COUNT_LIQUIDATIONS] += 1
            is_taker, is_maker = "T" in trade.liquidated, "M" in trade.liquidated
            if is_taker if trade.is_buy else is_maker:  # who was liquidated has bought
                self.traded[LIQUIDATION_BUY_USD] += usd
            if is_maker if trade.is_buy else is_taker:
                self.traded[LIQUIDATION_SELL_USD] += usd

    def see_ticker(self, ticker: Ticker) -> None:
        """Keep a ticker if it is the latest."""
        if self.ticker is None or ticker.timestamp_ms >= self.ticker.timestamp_ms:
            self.ticker = ticker

    def forget_ticker(self) -> None:
        """Let no ticker count that came before now."""
        self.ticker = None
        self.is_context_new = True

    def miss_trades(self, since_ms: int) -> None:
        """Note that trades since then may be missing."""
        if self.missed_since_ms is None or since_ms < self.missed_since_ms:
            self.missed_since_ms = since_ms

    def merge(self, later: Pane) -> None:
        """Add the pane that follows directly on this one."""
        if later.start_ms != self.end_ms:
            raise ValueError(f"a pane from {later.start_ms} does not follow on {self.end_ms}")
        if self.start_ms == self.end_ms:  # nothing merged yet
            self.open_mid = later.open_mid
        self.end_ms = later.end_ms
        self.flags |= later.flags
        if later.high is not None and later.low is not None:
            self.see_mid(later.high)
            self.see_mid(later.low)
        self.close = later.close
        _add(self.counts, later.counts)
        _add(self.times, later.times)
        _add(self.events, later.events)
        _add(self.flow, later.flow)
        _add(self.traded, later.traded)
        if later.is_context_new:
            self.forget_ticker()
        if later.ticker is not None:
            self.see_ticker(later.ticker)
        if later.missed_since_ms is not None:
            self.miss_trades(later.missed_since_ms)

    def to_record(self) -> list[Any]:
        """Return the pane as plain lists, and numbers of at most 64 bits."""
        mids = [mid for mid in (self.open_mid, self.high, self.low) if mid is not None]
        sums = (self.counts, self.times, self.events, self.flow, self.traded)
        return [
            self.start_ms,
            self.end_ms,
            self.flags,
            [self.open_mid is not None, *to_record(mids)],
            None if self.close is None else self.close.to_record(),
            [to_record(part) for part in sums],
            [self.ticker, self.is_context_new, self.missed_since_ms],
        ]

    @classmethod
    def from_record(cls, record: list[Any]) -> Pane:
        """Return the pane of a record; raise ValueError if it is none."""
        start_ms, end_ms, flags, (has_open, *mids), close, sums, context = record
        ticker, is_context_new, missed_since_ms = context
        pane = cls(start_ms, end_ms)
        pane.flags = flags
        if mids:
            *opened, pane.high, pane.low = from_record(mids, 2 + has_open)
            pane.open_mid = opened[0] if opened else None
        counts = (COUNTS, TIMES, EVENTS, FLOW_LEVELS, TRADED)
        pane.counts, pane.times, pane.events, pane.flow, pane.traded = (
            from_record(part, count) for part, count in zip(sums, counts, strict=True)
        )
        pane.close = None if close is None else Snapshot.from_record(close)
        pane.ticker = None if ticker is None else Ticker(*ticker)
        pane.is_context_new, pane.missed_since_ms = is_context_new, missed_since_ms
        return pane
