"""A closed window as the flat record that is published; each field is defined in docs/measures.md.

Every number is one correctly rounded division of integers.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact
from operator import mul
from typing import Final

from orderbook.book.depth_bands import BANDS_BP
from orderbook.book.top_levels import FLOW_LEVELS, LEVELS
from orderbook.measures import Snapshot, imbalance
from orderbook.units import RATIO_UNIT, UNIT, quotient, times
from orderbook.windows import pane as p
from orderbook.windows.ofi_weights import WEIGHT_UNIT, Weights
from orderbook.windows.pane import Pane
from orderbook.windows.window_series import Closed

Value = str | int | float | None | list[float]

_EXACT: Final = Context(prec=34, traps=[Inexact])
"""For the product of two doubles, each of at most 17 digits; fractions take eight times as long."""

FLOW_FIELDS: Final = (
    "ofi_usd",
    "ofi_levels_usd",
    "ofi_normalised",
    "ofi_integrated",
    "ofi_weights",
    "ofi_weights_windows",
    "ofi_weights_explained",
)
TRADE_FIELDS: Final = (
    "buy_usd",
    "sell_usd",
    "trade_flow_usd",
    "trade_flow_ratio",
    "liquidation_buy_usd",
    "liquidation_sell_usd",
    "block_usd",
    "combo_usd",
)
VERSION: Final = 2
"""Of the definitions (docs/measures.md, Versions); records without one are of version 1."""
MAX_TICKER_AGE_MS: Final = 60_000
"""A ticker comes every second or so; what is older than this is not of now any more."""


def window_record(
    window: Closed, *, instrument: str, channel: str, venue: str, linear: bool
) -> dict[str, Value]:
    """Return the record of a window."""
    span, pane, weights = window
    usd_unit = UNIT * UNIT if linear else UNIT
    counts, valid, trades_ms = pane.counts, pane.times[p.TIME_VALID], pane.times[p.TIME_TRADES]
    record: dict[str, Value] = {
        "instrument": instrument,
        "channel": channel,
        "venue": venue or None,
        "version": VERSION,
        "length_ms": span.length_ms,
    }
    if span.is_hopping:
        record["hop_ms"] = span.hop_ms
    record |= {
        "start_ms": pane.start_ms,
        "end_ms": pane.end_ms,
        "observations": counts[p.COUNT_OBSERVATIONS],
        "snapshots": counts[p.COUNT_SNAPSHOTS],
        "trades": counts[p.COUNT_TRADES] if trades_ms else None,
        "block_trades": counts[p.COUNT_BLOCK_TRADES] if trades_ms else None,
        "combo_trades": counts[p.COUNT_COMBO_TRADES] if trades_ms else None,
        "liquidations": counts[p.COUNT_LIQUIDATIONS] if trades_ms else None,
        "mid_open": _mid(pane.open_mid),
        "mid_high": _mid(pane.high),
        "mid_low": _mid(pane.low),
        "mid_close": _mid(pane.close.bid + pane.close.ask) if pane.close else None,
        "weighted_mid_close": weighted_mid(pane.close) if pane.close else None,
        "spread_bp_mean": _mean(pane.times[p.TIME_SPREAD], valid * RATIO_UNIT),
    }
    _add_imbalances(record, pane, valid)
    _add_depths(record, pane, valid, usd_unit)
    _add_flow(record, pane, usd_unit, weights)
    _add_trades(record, pane, usd_unit, is_known=trades_ms > 0)
    _add_context(record, pane, linear)
    record |= {
        "status": _status(pane, valid == span.length_ms),
        "coverage": quotient(valid, span.length_ms),
        "trades_coverage": quotient(trades_ms, span.length_ms),
        "gaps": counts[p.COUNT_GAPS],
        "reconnects": counts[p.COUNT_RECONNECTS],
        "trade_gaps": counts[p.COUNT_TRADE_GAPS],
        "missed_trades": counts[p.COUNT_MISSED_TRADES],
        "trades_missed_since_ms": pane.missed_since_ms,
        "late_trades": counts[p.COUNT_LATE_TRADES],
    }
    return record


def weighted_mid(state: Snapshot) -> float:
    """Return the mid weighted by the other side's size: a heavy bid pulls it up."""
    weighted = state.ask * state.bid_size + state.bid * state.ask_size
    return quotient(weighted, (state.bid_size + state.ask_size) * UNIT)


def open_interest_usd(
    open_interest: float | None, mark_price: float | None, *, linear: bool
) -> float | None:
    """Return open interest in USD: as given if inverse, times the mark price if linear."""
    if open_interest is None or not linear:
        return open_interest
    if mark_price is None:
        return None
    usd = _EXACT.multiply(Decimal(repr(open_interest)), Decimal(repr(mark_price)))
    return float(usd) if usd else 0.0  # not -0.0


def is_outdated(stated_ms: int, now_ms: int) -> bool:
    """Return whether what a ticker stated is too old to say anything about a time."""
    return now_ms - stated_ms > MAX_TICKER_AGE_MS


def _mid(twice_mid: int | None) -> float | None:
    return None if twice_mid is None else quotient(twice_mid, 2 * UNIT)


def _mean(total: int, divisor: int) -> float | None:
    return quotient(total, divisor) if divisor else None


_LEVEL_NAMES: Final = tuple(
    (f"imbalance_{levels}_last", f"imbalance_{levels}_mean", f"imbalance_{levels}_event_mean")
    for levels in LEVELS
)
_BAND_NAMES: Final = tuple((f"imbalance_{bp}bp_last", f"imbalance_{bp}bp_mean") for bp in BANDS_BP)
_DEPTH_NAMES: Final = tuple(
    f"{side}_depth_{name}_usd_mean"
    for name in (*map(str, LEVELS), *(f"{bp}bp" for bp in BANDS_BP))
    for side in ("bid", "ask")
)


def _add_imbalances(record: dict[str, Value], pane: Pane, valid: int) -> None:
    times, close = pane.times, pane.close
    whole, measured = valid * RATIO_UNIT, pane.counts[p.COUNT_MEASURED] * RATIO_UNIT
    for place, (last, mean, event_mean) in enumerate(_LEVEL_NAMES):
        bids, asks = close.sums[place] if close else (0, 0)
        record[last] = imbalance(bids, asks)
        record[mean] = _mean(times[p.TIME_LEVELS + place], whole)
        record[event_mean] = _mean(pane.events[place], measured)
    for place, (last, mean) in enumerate(_BAND_NAMES):
        bids, asks = close.sums[len(LEVELS) + place] if close else (0, 0)
        record[last] = imbalance(bids, asks)
        banded = times[p.TIME_BANDS_VALID + place] * RATIO_UNIT
        record[mean] = _mean(times[p.TIME_BANDS + place], banded)


def _add_depths(record: dict[str, Value], pane: Pane, valid: int, usd_unit: int) -> None:
    times, divisor = pane.times, valid * usd_unit
    for place, name in enumerate(_DEPTH_NAMES):
        record[name] = _mean(times[p.TIME_USD + place], divisor)


def _add_flow(record: dict[str, Value], pane: Pane, usd_unit: int, weights: Weights) -> None:
    flow, valid = pane.flow, pane.times[p.TIME_VALID]
    depth = pane.times[p.TIME_FLOW_USD] + pane.times[p.TIME_FLOW_USD + 1]
    for name in FLOW_FIELDS:
        record[name] = None
    if not valid:
        return
    record["ofi_usd"] = quotient(flow[0], usd_unit)
    record["ofi_levels_usd"] = [quotient(each, usd_unit) for each in flow]
    # Q = depth/(2·valid·M): one common divisor for all levels keeps their proportions.
    scale = 2 * valid * FLOW_LEVELS
    levels = weights.over(_populated(pane))
    norm = sum(levels)
    record["ofi_normalised"] = [quotient(times(each, scale), depth) for each in flow]
    record["ofi_integrated"] = quotient(sum(map(mul, levels, flow)) * scale, depth * norm)
    record["ofi_weights"] = [quotient(weight, norm) for weight in levels]
    record["ofi_weights_windows"] = weights.windows
    if weights.windows:
        record["ofi_weights_explained"] = quotient(weights.explained, WEIGHT_UNIT)


def _populated(pane: Pane) -> int:
    """Return how many levels were there: at the end, or where there was flow; all if none was."""
    deepest = pane.close.levels if pane.close else 0
    for level, flow in enumerate(pane.flow):
        if flow and level >= deepest:
            deepest = level + 1
    return deepest or FLOW_LEVELS


def _add_trades(record: dict[str, Value], pane: Pane, usd_unit: int, *, is_known: bool) -> None:
    if not is_known:
        for name in TRADE_FIELDS:
            record[name] = None
        return
    buy, sell = pane.traded[p.BUY_USD], pane.traded[p.SELL_USD]
    record["buy_usd"] = quotient(buy, usd_unit)
    record["sell_usd"] = quotient(sell, usd_unit)
    record["trade_flow_usd"] = quotient(buy - sell, usd_unit)
    record["trade_flow_ratio"] = quotient(buy - sell, buy + sell) if buy + sell else None
    record["liquidation_buy_usd"] = quotient(pane.traded[p.LIQUIDATION_BUY_USD], usd_unit)
    record["liquidation_sell_usd"] = quotient(pane.traded[p.LIQUIDATION_SELL_USD], usd_unit)
    record["block_usd"] = quotient(pane.traded[p.BLOCK_USD], usd_unit)
    record["combo_usd"] = quotient(pane.traded[p.COMBO_USD], usd_unit)


def _add_context(record: dict[str, Value], pane: Pane, linear: bool) -> None:
    ticker = pane.ticker
    if ticker is not None and is_outdated(ticker.timestamp_ms, pane.end_ms):
        ticker = None
    record["mark_price"] = ticker.mark_price if ticker else None
    record["index_price"] = ticker.index_price if ticker else None
    record["funding_8h"] = ticker.funding_8h if ticker else None
    record["open_interest_usd"] = (
        open_interest_usd(ticker.open_interest, ticker.mark_price, linear=linear)
        if ticker
        else None
    )
    record["ticker_ms"] = ticker.timestamp_ms if ticker else None


def _status(pane: Pane, whole: bool) -> str:
    if pane.flags & p.FLAG_GAP:
        return "gap"
    if pane.flags & p.FLAG_RECONNECT:
        return "reconnect"
    if pane.flags & p.FLAG_STALE:
        return "stale"
    return "complete" if whole else "partial"
