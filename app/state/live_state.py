"""An instrument's state as it is published: what the processor knows, in the units of the venue."""

from __future__ import annotations

from typing import Any

from app.processing.processor import Processor
from deribit.served_instruments import USD, base_coin, is_linear
from models.live import LiveState
from orderbook.measures import imbalance
from orderbook.units import RATIO_UNIT, UNIT
from orderbook.windows.record import open_interest_usd, weighted_mid


def live_state(
    state: Processor, partition: int, window: dict[str, Any] | None, now_ms: int
) -> LiveState:
    """Return an instrument's state; `window` is its last closed one of the shortest length."""
    instrument, counts = state.instrument, state.counts
    book, told, audit = instrument.book, state.market_status, state.audit
    count = counts.get  # a Counter makes up its zeros in Python
    is_retired = state.is_retired
    measured = None if is_retired else instrument.state()
    live = LiveState(
        instrument=state.name,
        channel=instrument.channel,
        status=state.status,
        simulated=state.is_simulated,
        linear=instrument.linear,
        worker=state.worker,
        partition=partition,
        change_id=book.change_id,
        venue_ts_ms=book.timestamp_ms or None,
        clock_ms=instrument.clock_ms,
        received_ms=state.received_ns // 1_000_000,
        published_ms=now_ms,
        instrument_state=told.state,
        platform_state=told.platform,
        gaps=count("gaps", 0) + count("gaps_at_ingest", 0) + count("crossed", 0) + audit.failed,
        quotes_agreed=audit.agreed,
        quotes_between_updates=audit.between,
        quotes_unmatched=audit.unmatched,
        audit_failures=audit.failed,
        silences=count("silences", 0),
        off_tick=count("off_tick", 0),
        refused=count("refused", 0),
    )
    if measured is not None:
        live.best_bid = measured.bid / UNIT
        live.best_bid_size = measured.bid_size / UNIT
        live.best_ask = measured.ask / UNIT
        live.best_ask_size = measured.ask_size / UNIT
        live.mid = (measured.bid + measured.ask) / (2 * UNIT)
        live.weighted_mid = weighted_mid(measured)
        live.spread_bp = measured.spread_ratio() / RATIO_UNIT
        sums = measured.sums
        live.imbalance_1, live.imbalance_5, live.imbalance_10 = (
            imbalance(*pair) for pair in sums[:3]
        )
        live.imbalance_10bp, live.imbalance_25bp, live.imbalance_50bp = (
            imbalance(*pair) for pair in sums[3:]
        )
    if is_retired:
        return live  # it has no market any more
    if told.funding is not None and not instrument.is_outdated(told.funding_ms):
        live.current_funding = told.funding
    ticker = instrument.ticker
    if ticker is not None and not instrument.is_outdated(ticker.timestamp_ms):
        live.ticker_ms = ticker.timestamp_ms
        live.mark_price = ticker.mark_price
        live.index_price = ticker.index_price
        live.funding_8h = ticker.funding_8h
        live.open_interest_usd = open_interest_usd(
            ticker.open_interest, ticker.mark_price, linear=instrument.linear
        )
    if window is not None:
        live.window_end_ms = window["end_ms"]
        live.window_length_ms = window["length_ms"]
        live.ofi_usd = window["ofi_usd"]
        live.ofi_normalised = (window["ofi_normalised"] or [None])[0]
        live.trade_flow_usd = window["trade_flow_usd"]
        live.window_status = window["status"]
    return live


def size_unit_of(state: LiveState) -> tuple[bool, str]:
    """Return whether sizes are in the base coin, and their unit: that coin, or `USD`."""
    linear = bool(is_linear(state.instrument, state.linear))
    return linear, base_coin(state.instrument) if linear else USD
