"""The reference computes every window slowly and obviously, from the whole list of what happened.

It exists to be compared with. It shares no code with the product, keeps everything in memory, and
computes each window by itself, by summing over its definition in `docs/measures.md`: nothing is
merged, and nothing is carried from one window to the next but the weights of the levels. All
arithmetic is exact, except for those weights: an operation on decimals that would have to round
raises, and a quotient is a fraction.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Final, TypeVar

from tests.reference.book import BANDS, DEPTHS, LEVELS, State
from tests.reference.feed import Item, Ticker, Trade, from_recording
from tests.reference.history import History, Observation
from tests.reference.measures import (
    imbalance,
    mean_ratio,
    mid,
    order_flow,
    spread_bp,
    weighted_mid,
)
from tests.reference.spans import is_published, late_trades, starts_of
from tests.reference.weights import Weighing

__all__ = ["from_recording", "history_of", "published", "reference_windows", "windows_of"]

GRACE_MS: Final = 250
EXACT: Final = Context(prec=200, traps=[Inexact, InvalidOperation, DivisionByZero])
FLOW: Final = ("ofi_usd", "ofi_levels_usd", "ofi_normalised", "ofi_integrated")
WEIGHTS: Final = ("ofi_weights", "ofi_weights_windows", "ofi_weights_explained")
CONTEXT: Final = ("mark_price", "index_price", "funding_8h", "open_interest_usd", "ticker_ms")
COUNTS: Final = ("trades", "block_trades", "combo_trades", "liquidations")
TRADES: Final = (
    *("buy_usd", "sell_usd", "trade_flow_usd", "trade_flow_ratio"),
    *("liquidation_buy_usd", "liquidation_sell_usd", "block_usd", "combo_usd"),
)
VERSION: Final = 2
TICKER_LASTS_MS: Final = 60_000
"""What a ticker says is taken for what is so up to this long after."""
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
    venue: str | None = None,
    hopping: Iterable[tuple[int, int]] = (),
    grace_ms: int = GRACE_MS,
) -> list[Window]:
    """Return every window that the feed closes, by end, then by length and hop.

    `lengths_ms`: of the windows that do not overlap. `hopping`: lengths and hops of those that do.
    `venue`: where all the sessions lead.
    """
    history = history_of(items, instrument=instrument, channel=channel)
    return windows_of(
        history, lengths_ms=lengths_ms, venue=venue, hopping=hopping, grace_ms=grace_ms
    )


def windows_of(
    history: History,
    *,
    lengths_ms: Iterable[int],
    venue: str | None = None,
    hopping: Iterable[tuple[int, int]] = (),
    grace_ms: int = GRACE_MS,
) -> list[Window]:
    """Return every window that a history closes, see `reference_windows`."""
    windows: list[tuple[int, int, int, Window]] = []
    with localcontext(EXACT):
        for length_ms, hop_ms in sorted({*hopping, *((length, length) for length in lengths_ms)}):
            starts = list(starts_of(history, length_ms, hop_ms))
            late = late_trades(history, starts, length_ms, grace_ms)
            weighing = Weighing(length_ms)
            for start in starts:
                if is_published(history.clock_ms, start + length_ms, grace_ms):
                    window = _Window(history, start, length_ms, hop_ms, grace_ms, late[start])
                    record = window.record(weighing, venue)
                    windows.append((start + length_ms, length_ms, hop_ms, record))
    return [record for *_, record in sorted(windows, key=lambda window: window[:3])]


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
        self,
        history: History,
        start_ms: int,
        length_ms: int,
        hop_ms: int,
        grace_ms: int,
        late_trades: int,
    ) -> None:
        self.history = history
        self.start, self.end, self.length = start_ms, start_ms + length_ms, length_ms
        self.hop = hop_ms
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
            and not is_published(arrival, self.end, grace_ms)
        ]
        self.flow_trades = [trade for trade in self.trades if trade.is_flow]
        self.trades_ms = self._trades_ms()

    def record(self, weighing: Weighing, venue: str | None) -> Window:
        """Return all fields in their order; let the weights learn from the window."""
        flow, quality = self._order_flow(), self._quality()
        return {
            "instrument": self.history.instrument,
            "channel": self.history.channel,
            "venue": venue,
            "version": VERSION,
            "length_ms": self.length,
            **({} if self.hop == self.length else {"hop_ms": self.hop}),
            "start_ms": self.start,
            "end_ms": self.end,
            "observations": len(self.observations),
            "snapshots": sum(each.is_snapshot for each in self.observations),
            **self._trade_counts(),
            **self._prices(),
            **self._imbalances(),
            **self._depths(),
            **flow,
            **self._weights(weighing, flow, quality["status"]),
            **self._trade_flow(),
            **self._context(),
            **quality,
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
        both = Decimal(0)
        for state, ms in self.valid:
            both += ms * sum((level.usd for level in state.bids + state.asks), Decimal(0))
        depth = Fraction(both) / self.valid_ms / 2 / LEVELS
        normalised = [flow / depth for flow in ofi]
        return dict(zip(FLOW, (ofi[0], ofi, normalised, None), strict=True))

    def _weights(self, weighing: Weighing, flow: Window, status: Value) -> Window:
        weighing.begin(self.start)
        normalised, levels = flow["ofi_normalised"], flow["ofi_levels_usd"]
        if not isinstance(normalised, list) or not isinstance(levels, list):
            return dict.fromkeys(WEIGHTS)
        weights = weighing.weights_over(self._populated(levels))
        weighted = (weight * each for weight, each in zip(weights, normalised, strict=True))
        fields = (weights, weighing.windows, weighing.explained)
        if status == "complete":
            weighing.learn(self.start, levels)
        integrated = sum(weighted, Fraction(0))
        return {"ofi_integrated": integrated, **dict(zip(WEIGHTS, fields, strict=True))}

    def _populated(self, flow: list[Fraction]) -> int:
        """Return how many levels there were at the end, or had flow; all if there was none."""
        counts = [level for level, each in enumerate(flow, start=1) if each]
        if self.leaving is not None and self.leaving.mid is not None:
            counts += [len(self.leaving.bids), len(self.leaving.asks)]
        return max(counts, default=LEVELS)

    def _trades_ms(self) -> int:
        """Return how much of the window's time the trades channel was followed."""
        turns = self.history.following
        ends = [from_ms for from_ms, _ in turns[1:]] + [self.end]
        return sum(
            max(0, min(end_ms, self.end) - max(from_ms, self.start))
            for (from_ms, is_followed), end_ms in zip(turns, ends, strict=True)
            if is_followed
        )

    def _trade_counts(self) -> Window:
        if not self.trades_ms:
            return dict.fromkeys(COUNTS)
        blocks = sum(trade.is_block for trade in self.trades)
        return {
            "trades": len(self.flow_trades),
            "block_trades": blocks,
            "combo_trades": len(self.trades) - len(self.flow_trades) - blocks,
            "liquidations": sum(bool(trade.liquidated) for trade in self.flow_trades),
        }

    def _trade_flow(self) -> Window:
        if not self.trades_ms:
            return dict.fromkeys(TRADES)
        buy = self._usd(trade for trade in self.flow_trades if trade.is_buy)
        sell = self._usd(trade for trade in self.flow_trades if not trade.is_buy)
        liquidated = [
            self._usd(trade for trade in self.flow_trades if side in trade.liquidated_sides())
            for side in ("buy", "sell")
        ]
        return {
            "buy_usd": buy,
            "sell_usd": sell,
            "trade_flow_usd": buy - sell,
            "trade_flow_ratio": (buy - sell) / (buy + sell) if self.flow_trades else None,
            "liquidation_buy_usd": liquidated[0],
            "liquidation_sell_usd": liquidated[1],
            "block_usd": self._usd(trade for trade in self.trades if trade.is_block),
            "combo_usd": self._usd(t for t in self.trades if not t.is_flow and not t.is_block),
        }

    def _usd(self, trades: Iterable[Trade]) -> Fraction:
        linear = self.history.linear
        amounts = (trade.amount * trade.price if linear else trade.amount for trade in trades)
        return Fraction(sum(amounts, Decimal(0)))

    def _context(self) -> Window:
        """Of several tickers with the greatest timestamp, the last to arrive counts."""
        session = bisect_left(self.history.session_ends, self.end)
        latest: Ticker | None = None
        for arrival, of_session, ticker in self.history.tickers:
            known = ticker.timestamp_ms < self.end and not is_published(
                arrival, self.end, self.grace
            )
            if (
                known
                and of_session == session
                and (latest is None or ticker.timestamp_ms >= latest.timestamp_ms)
            ):
                latest = ticker
        if latest is None or latest.timestamp_ms + TICKER_LASTS_MS < self.end:
            return dict.fromkeys(CONTEXT)
        interest = latest.open_interest
        if interest is not None and self.history.linear:
            interest = None if latest.mark_price is None else interest * latest.mark_price
        figures = (latest.mark_price, latest.index_price, latest.funding_8h, interest)
        return dict(zip(CONTEXT, (*figures, latest.timestamp_ms), strict=True))

    def _quality(self) -> Window:
        marks = self.history.marks
        happened = Counter(
            mark.kind for mark in marks if mark.happened_within(self.start, self.end)
        )
        kinds = {mark.kind for mark in marks if mark.touches(self.start, self.end)}
        otherwise = "complete" if self.valid_ms == self.length else "partial"
        gaps = self.history.trade_gaps
        missed = [gap.missing for gap in gaps if self.start <= gap.clock_ms < self.end]
        since = [
            gap.since_ms
            for gap in gaps
            if self.start <= gap.until_ms
            and self.end > gap.since_ms
            and not is_published(gap.clock_ms, self.end, self.grace)
        ]
        touched = (kind for kind in STATUSES if kind in kinds)
        return {
            "status": next(touched, otherwise),
            "coverage": Fraction(self.valid_ms, self.length),
            "trades_coverage": Fraction(self.trades_ms, self.length),
            "gaps": happened["gap"],
            "reconnects": happened["reconnect"],
            "trade_gaps": len(missed),
            "missed_trades": sum(missed),
            "trades_missed_since_ms": min(since, default=None),
            "late_trades": self.late_trades,
        }


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
