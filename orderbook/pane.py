"""A pane is what happened to an instrument in one short span of event time; panes merge to windows.

Everything is an integer sum, a minimum, a maximum, a first or a last, so merging is associative and
exact: a window is the same however its panes were grouped, recovered or replayed. A window that is
being put together is a pane too.
"""

from __future__ import annotations

from typing import Any, Final

from orderbook.bands import BANDS_BP
from orderbook.events import Ticker, Trade
from orderbook.flow import FLOW_LEVELS
from orderbook.front import LEVELS
from orderbook.imbalance import Snapshot
from orderbook.units import from_record, to_record

FLAG_GAP: Final = 1
FLAG_RECONNECT: Final = 2
FLAG_STALE: Final = 4

# Places in the lists of sums.
COUNT_OBSERVATIONS, COUNT_TRADES, COUNT_BLOCK_TRADES, COUNT_LIQUIDATIONS = range(4)
COUNT_GAPS, COUNT_RECONNECTS, COUNT_LATE_TRADES = range(4, 7)
COUNT_MEASURED: Final = 7
"""Observations after which the book was live and two-sided."""
COUNT_TRADE_GAPS, COUNT_MISSED_TRADES = range(8, 10)
COUNTS: Final = 10

TIME_VALID: Final = 0
TIME_SPREAD: Final = 1
TIME_LEVELS: Final = 2
TIME_BANDS: Final = TIME_LEVELS + len(LEVELS)
TIME_BANDS_VALID: Final = TIME_BANDS + len(BANDS_BP)
TIME_USD: Final = TIME_BANDS_VALID + len(BANDS_BP)
TIMES: Final = TIME_USD + 2 * (len(LEVELS) + len(BANDS_BP))

EVENT_DEPTH_USD: Final = len(LEVELS)
"""After the sums of the imbalances: the USD of both sides within the flow's levels."""
EVENTS: Final = len(LEVELS) + 1

BUY_USD, SELL_USD, BLOCK_USD, LIQUIDATION_USD = range(4)
TRADED: Final = 4


def _add(sums: list[Any], others: list[Any]) -> None:
    """Add integers, which have no type here: compiled, they would be unpacked and packed again."""
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
        "low",
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
        """Count a trade; a block trade is no order flow, and counted apart."""
        usd = trade.price * trade.size if linear else trade.size
        if trade.is_block:
            self.counts[COUNT_BLOCK_TRADES] += 1
            self.traded[BLOCK_USD] += usd
            return
        self.counts[COUNT_TRADES] += 1
        self.traded[BUY_USD if trade.is_buy else SELL_USD] += usd
        if trade.is_liquidation:
            self.counts[COUNT_LIQUIDATIONS] += 1
            self.traded[LIQUIDATION_USD] += usd

    def see_ticker(self, ticker: Ticker) -> None:
        """Keep a ticker if it is the latest."""
        if self.ticker is None or ticker.timestamp_ms >= self.ticker.timestamp_ms:
            self.ticker = ticker

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
        if later.ticker is not None:
            self.see_ticker(later.ticker)

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
            self.ticker,
        ]

    @classmethod
    def from_record(cls, record: list[Any]) -> Pane:
        """Return the pane of a record; raise ValueError if it is none."""
        start_ms, end_ms, flags, (has_open, *mids), close, sums, ticker = record
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
        return pane
