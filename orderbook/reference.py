"""The reference computes every window slowly and obviously, from the whole list of what happened.

It exists to be compared with. It shares no code with the product, keeps everything in memory, and
computes each window by itself, by summing over its definition in `docs/measures.md`: nothing is
carried from one window to the next, nothing is merged. All arithmetic is exact: an operation on
decimals that would have to round raises, and a quotient is a fraction.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Final, TypeVar

from orderbook.reference_book import BANDS, DEPTHS, LEVELS, State
from orderbook.reference_feed import Item, Ticker, Trade, from_recording
from orderbook.reference_history import History, Observation
from orderbook.reference_measures import (
    imbalance,
    mean_ratio,
    mid,
    order_flow,
    spread_bp,
    weighted_mid,
)

__all__ = ["from_recording", "history_of", "published", "reference_windows"]

GRACE_MS: Final = 250
EXACT: Final = Context(prec=200, traps=[Inexact, InvalidOperation, DivisionByZero])
FLOW: Final = ("ofi_usd", "ofi_levels_usd", "ofi_normalised", "ofi_integrated")
CONTEXT: Final = ("mark_price", "index_price", "funding_8h", "open_interest_usd")
STATUSES: Final = ("gap", "reconnect", "stale")
"""What can touch a window, the worst first."""

T = TypeVar("T")
Value = int | str | Fraction | list[Fraction] | None
Window = dict[str, Value]
"""In the order of docs/measures.md; a count or a time is an int, any other number a Fraction."""


def reference_windows(
    items: Iterable[Item],
    *,
    instrument: str,
    channel: str,
    lengths_ms: Iterable[int],
    grace_ms: int = GRACE_MS,
) -> list[Window]:
    """Return every window that the feed closes, by end and then by length."""
    history = history_of(items, instrument=instrument, channel=channel)
    windows: list[Window] = []
    with localcontext(EXACT):
        for length_ms in sorted(set(lengths_ms)):
            starts = list(_starts(history, length_ms))
            late = _late_trades(history, starts, length_ms, grace_ms)
            windows.extend(
                _Window(history, start, length_ms, grace_ms, late[start]).record()
                for start in starts
                if _is_published(history.clock_ms, start + length_ms, grace_ms)
            )
    return sorted(windows, key=lambda window: (window["end_ms"], window["length_ms"]))


def published(window: Window) -> dict[str, int | str | float | list[float] | None]:
    """Return the window with each fraction as the nearest double."""
    return {name: _nearest(value) for name, value in window.items()}


def history_of(items: Iterable[Item], *, instrument: str, channel: str) -> History:
    """Return all that the feed says about the instrument on one book channel."""
    history = History(instrument, channel)
    with localcontext(EXACT):
        for item in items:
            history.take(item)
    return history


class _Window:
    """One window and all of history; each method is one group of fields."""

    def __init__(
        self, history: History, start_ms: int, length_ms: int, grace_ms: int, late_trades: int
    ) -> None:
        self.history = history
        self.start, self.end, self.length = start_ms, start_ms + length_ms, length_ms
        self.grace = grace_ms
        self.late_trades = late_trades
        self.observations = _within(history.observations, self.start, self.end)
        self.entering = self._state_before(self.start)
        self.leaving = self._state_before(self.end)
        self.valid = [(state, ms) for state, ms in self._durations() if state.mid is not None]
        self.valid_ms = sum(ms for _, ms in self.valid)
        self.trades = [
            trade
            for arrival, trade in history.trades
            if self.start <= trade.timestamp_ms < self.end
            and not _is_published(arrival, self.end, grace_ms)
        ]
        self.flow_trades = [trade for trade in self.trades if not trade.is_block]

    def record(self) -> Window:
        """Return all fields in their order."""
        return {
            "instrument": self.history.instrument,
            "channel": self.history.channel,
            "length_ms": self.length,
            "start_ms": self.start,
            "end_ms": self.end,
            "observations": len(self.observations),
            "trades": len(self.flow_trades),
            "block_trades": len(self.trades) - len(self.flow_trades),
            "liquidations": sum(trade.is_liquidation for trade in self.flow_trades),
            **self._prices(),
            **self._imbalances(),
            **self._depths(),
            **self._order_flow(),
            **self._trade_flow(),
            **self._context(),
            **self._quality(),
        }

    def _state_before(self, time_ms: int) -> State | None:
        index = bisect_left(self.history.states, time_ms, key=_time_of)
        return self.history.states[index - 1][1] if index else None

    def _durations(self) -> Iterator[tuple[State, int]]:
        """Yield each live state with its time in the window, the one carried in first."""
        inside = _between(self.history.states, self.start, self.end, _time_of)
        points = [(self.start, self.entering), *inside, (self.end, None)]
        for (from_ms, state), (to_ms, _) in pairwise(points):
            if state is not None:
                yield state, to_ms - from_ms

    def _prices(self) -> Window:
        seen = [self.entering, *(observation.after for observation in self.observations)]
        mids = [Fraction(state.mid) for state in seen if state and state.mid is not None]
        return {
            "mid_open": mid(self.entering),
            "mid_high": max(mids, default=None),
            "mid_low": min(mids, default=None),
            "mid_close": mid(self.leaving),
            "weighted_mid_close": weighted_mid(self.leaving),
            "spread_bp_mean": mean_ratio((spread_bp(state), ms) for state, ms in self.valid),
        }

    def _imbalances(self) -> Window:
        fields: Window = {}
        for name in (*DEPTHS, *BANDS):
            over_time = [(imbalance(state, name), ms) for state, ms in self.valid]
            fields[f"imbalance_{name}_last"] = (
                imbalance(self.leaving, name) if self.leaving else None
            )
            fields[f"imbalance_{name}_mean"] = mean_ratio(over_time)
            if name in DEPTHS:
                over_events = [(imbalance(each.after, name), 1) for each in self.observations]
                fields[f"imbalance_{name}_event_mean"] = mean_ratio(over_events)
        return fields

    def _depths(self) -> Window:
        fields: Window = {}
        for name in (*DEPTHS, *BANDS):
            bid = ask = Decimal(0)
            for state, ms in self.valid:
                if name in state.sizes:
                    bid += ms * state.sizes[name].bid_usd
                    ask += ms * state.sizes[name].ask_usd
            for side, total in (("bid", bid), ("ask", ask)):
                mean = Fraction(total) / self.valid_ms if self.valid_ms else None
                fields[f"{side}_depth_{name}_usd_mean"] = mean
        return fields

    def _order_flow(self) -> Window:
        if not self.valid_ms:
            return dict.fromkeys(FLOW)
        flows = [Decimal(0)] * LEVELS
        for each in self.observations:
            if each.before is not None:
                increments = order_flow(each.before, each.after)
                flows = [total + e for total, e in zip(flows, increments, strict=True)]
        ofi = [Fraction(total) for total in flows]
        two_sided = [each.after for each in self.observations if each.after.mid is not None]
        normalised: list[Fraction] | None = None
        if two_sided:
            both = sum(
                (level.usd for state in two_sided for level in state.bids + state.asks), Decimal(0)
            )
            depth = Fraction(both) / (2 * len(two_sided)) / LEVELS
            normalised = [flow / depth for flow in ofi]
        integrated = None if normalised is None else sum(normalised, Fraction(0)) / LEVELS
        return dict(zip(FLOW, (ofi[0], ofi, normalised, integrated), strict=True))

    def _trade_flow(self) -> Window:
        buy = sum((self._usd(trade) for trade in self.flow_trades if trade.is_buy), Fraction(0))
        sell = sum(
            (self._usd(trade) for trade in self.flow_trades if not trade.is_buy), Fraction(0)
        )
        return {
            "buy_usd": buy,
            "sell_usd": sell,
            "trade_flow_usd": buy - sell,
            "trade_flow_ratio": (buy - sell) / (buy + sell) if self.flow_trades else None,
        }

    def _usd(self, trade: Trade) -> Fraction:
        return Fraction(trade.amount * trade.price if self.history.linear else trade.amount)

    def _context(self) -> Window:
        """Of several tickers with the greatest timestamp, the last to arrive counts."""
        latest: Ticker | None = None
        for arrival, ticker in self.history.tickers:
            known = ticker.timestamp_ms < self.end and not _is_published(
                arrival, self.end, self.grace
            )
            if known and (latest is None or ticker.timestamp_ms >= latest.timestamp_ms):
                latest = ticker
        if latest is None:
            return dict.fromkeys(CONTEXT)
        interest = latest.open_interest
        if interest is not None and self.history.linear:
            interest = None if latest.mark_price is None else interest * latest.mark_price
        values = (latest.mark_price, latest.index_price, latest.funding_8h, interest)
        return dict(zip(CONTEXT, values, strict=True))

    def _quality(self) -> Window:
        marks = self.history.marks
        happened = Counter(
            mark.kind for mark in marks if mark.happened_within(self.start, self.end)
        )
        kinds = {mark.kind for mark in marks if mark.touches(self.start, self.end)}
        otherwise = "complete" if self.valid_ms == self.length else "partial"
        touched = (kind for kind in STATUSES if kind in kinds)
        return {
            "status": next(touched, otherwise),
            "coverage": Fraction(self.valid_ms, self.length),
            "gaps": happened["gap"],
            "reconnects": happened["reconnect"],
            "late_trades": self.late_trades,
        }


def _starts(history: History, length_ms: int) -> Iterator[int]:
    """Yield the start of each window that has begun, but of none wholly inside a clock's jump."""
    if history.first_snapshot_ms is None or history.clock_ms is None:
        return
    start = history.first_snapshot_ms // length_ms * length_ms
    while start <= history.clock_ms:
        for before, after in history.jumps:
            if start > before and start + length_ms <= after:
                start = after // length_ms * length_ms
        yield start
        start += length_ms


def _late_trades(
    history: History, starts: list[int], length_ms: int, grace_ms: int
) -> Counter[int]:
    """Return the late trades per window: those from before the oldest one open on arrival."""
    late: Counter[int] = Counter()
    for arrival, trade in history.trades:
        oldest = next(
            start for start in starts if not _is_published(arrival, start + length_ms, grace_ms)
        )
        late[oldest] += trade.timestamp_ms < oldest
    return late


def _is_published(clock_ms: int | None, end_ms: int, grace_ms: int) -> bool:
    return clock_ms is not None and clock_ms >= end_ms + grace_ms


def _within(observations: list[Observation], start_ms: int, end_ms: int) -> list[Observation]:
    return _between(observations, start_ms, end_ms, lambda observation: observation.clock_ms)


def _between(entries: list[T], start_ms: int, end_ms: int, time_of: Callable[[T], int]) -> list[T]:
    first = bisect_left(entries, start_ms, key=time_of)
    return entries[first : bisect_left(entries, end_ms, key=time_of)]


def _time_of(entry: tuple[int, State | None]) -> int:
    return entry[0]


def _nearest(value: Value) -> int | str | float | list[float] | None:
    if isinstance(value, list):
        return [float(each) for each in value]
    return float(value) if isinstance(value, Fraction) else value
