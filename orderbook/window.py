"""A closed window as the flat record that is published; each field is defined in docs/measures.md.

Every number is one correctly rounded division of integers.
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact
from operator import mul
from typing import Final

from orderbook import pane as p
from orderbook.bands import BANDS_BP
from orderbook.flow import FLOW_LEVELS
from orderbook.front import LEVELS
from orderbook.imbalance import Snapshot, imbalance
from orderbook.pane import Pane
from orderbook.series import Closed
from orderbook.units import RATIO_UNIT, UNIT, quotient, times
from orderbook.weights import WEIGHT_UNIT, Weights

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
)


def window_record(
    window: Closed, *, instrument: str, channel: str, linear: bool
) -> dict[str, Value]:
    """Return the record of a window."""
    span, pane, weights = window
    usd_unit = UNIT * UNIT if linear else UNIT
    counts, valid = pane.counts, pane.times[p.TIME_VALID]
    record: dict[str, Value] = {
        "instrument": instrument,
        "channel": channel,
        "length_ms": span.length_ms,
    }
    if span.is_hopping:
        record["hop_ms"] = span.hop_ms
    record |= {
        "start_ms": pane.start_ms,
        "end_ms": pane.end_ms,
        "observations": counts[p.COUNT_OBSERVATIONS],
        "trades": counts[p.COUNT_TRADES],
        "block_trades": counts[p.COUNT_BLOCK_TRADES],
        "liquidations": counts[p.COUNT_LIQUIDATIONS],
        "mid_open": _mid(pane.open_mid),
        "mid_high": _mid(pane.high),
        "mid_low": _mid(pane.low),
        "mid_close": _mid(pane.close.bid + pane.close.ask) if pane.close else None,
        "weighted_mid_close": weighted_mid(pane.close) if pane.close else None,
        "spread_bp_mean": _mean(pane.times[p.TIME_SPREAD], valid * RATIO_UNIT),
    }
    _add_imbalances(record, pane, valid)
    _add_depths(record, pane, valid, usd_unit)
    _add_flow(record, pane, usd_unit, weights, has_book=valid > 0)
    _add_trades(record, pane, usd_unit)
    _add_context(record, pane, linear)
    record |= {
        "status": _status(pane, valid == span.length_ms),
        "coverage": quotient(valid, span.length_ms),
        "gaps": counts[p.COUNT_GAPS],
        "reconnects": counts[p.COUNT_RECONNECTS],
        "trade_gaps": counts[p.COUNT_TRADE_GAPS],
        "missed_trades": counts[p.COUNT_MISSED_TRADES],
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


def _add_flow(
    record: dict[str, Value], pane: Pane, usd_unit: int, weights: Weights, *, has_book: bool
) -> None:
    flow, depth = pane.flow, pane.events[p.EVENT_DEPTH_USD]
    measured = pane.counts[p.COUNT_MEASURED]
    for name in FLOW_FIELDS:
        record[name] = None
    if not has_book:
        return
    record["ofi_usd"] = quotient(flow[0], usd_unit)
    record["ofi_levels_usd"] = [quotient(each, usd_unit) for each in flow]
    if measured and depth:
        # Q = depth/(2·N·M): one common divisor for all levels keeps their proportions.
        scale = 2 * measured * FLOW_LEVELS
        record["ofi_normalised"] = [quotient(times(each, scale), depth) for each in flow]
        norm = sum(map(abs, weights.levels))
        record["ofi_integrated"] = quotient(
            sum(map(mul, weights.levels, flow)) * scale, depth * norm
        )
        record["ofi_weights"] = [quotient(weight, WEIGHT_UNIT) for weight in weights.levels]
        record["ofi_weights_windows"] = weights.windows


def _add_trades(record: dict[str, Value], pane: Pane, usd_unit: int) -> None:
    buy, sell = pane.traded[p.BUY_USD], pane.traded[p.SELL_USD]
    record["buy_usd"] = quotient(buy, usd_unit)
    record["sell_usd"] = quotient(sell, usd_unit)
    record["trade_flow_usd"] = quotient(buy - sell, usd_unit)
    record["trade_flow_ratio"] = quotient(buy - sell, buy + sell) if buy + sell else None
    record["liquidation_usd"] = quotient(pane.traded[p.LIQUIDATION_USD], usd_unit)
    record["block_usd"] = quotient(pane.traded[p.BLOCK_USD], usd_unit)


def _add_context(record: dict[str, Value], pane: Pane, linear: bool) -> None:
    ticker = pane.ticker
    record["mark_price"] = ticker.mark_price if ticker else None
    record["index_price"] = ticker.index_price if ticker else None
    record["funding_8h"] = ticker.funding_8h if ticker else None
    record["open_interest_usd"] = (
        open_interest_usd(ticker.open_interest, ticker.mark_price, linear=linear)
        if ticker
        else None
    )


def _status(pane: Pane, whole: bool) -> str:
    if pane.flags & p.FLAG_GAP:
        return "gap"
    if pane.flags & p.FLAG_RECONNECT:
        return "reconnect"
    if pane.flags & p.FLAG_STALE:
        return "stale"
    return "complete" if whole else "partial"
