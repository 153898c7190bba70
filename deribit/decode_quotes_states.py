"""Decodes the venue's messages besides books and trades: tickers, quotes, states.

None of it enters a book. A best quote is what the rebuilt book is audited with; a grouped book is
shown as the venue's own view and never measured, because a lost one cannot be noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from deribit.decode_fields import Unreadable, check_name, units_of
from deribit.quote_state_shapes import (
    Best,
    grouped_books,
    instrument_states,
    perpetuals,
    platform_states,
    quotes,
    tickers,
)
from orderbook.events import GroupedBook, Level, Ticker

PLATFORM_STATE: Final = "platform_state"
INSTRUMENT_STATE_PREFIX: Final = "instrument.state."


@dataclass(init=False, slots=True)
class Quote:
    """Best bid and best ask as the venue states them; None where it stated none."""

    timestamp_ms: int
    bid: Level | None
    ask: Level | None

    # Written out, as that of a change: compiled, it is made in a fifth of the time.
    def __init__(self, timestamp_ms: int, bid: Level | None, ask: Level | None) -> None:
        self.timestamp_ms = timestamp_ms
        self.bid = bid
        self.ask = ask


class Figures(NamedTuple):
    """A ticker: the figures that windows carry, and what else it says."""

    ticker: Ticker
    quote: Quote | None
    """None if the ticker was trimmed of its best quotes."""
    state: str | None
    current_funding: float | None


class Funding(NamedTuple):
    """The current funding of a perpetual, as a fraction for 8 hours."""

    timestamp_ms: int
    rate: float
    index_price: float | None


class InstrumentState(NamedTuple):
    """An instrument's life: created, started, open, locked, halted, settlement, closed, …"""

    timestamp_ms: int
    state: str


class PlatformState(NamedTuple):
    """Maintenance of the whole venue, or the lock of all that follows one price index."""

    maintenance: bool | None
    price_index: str | None
    is_locked: bool | None


Statement = Figures | Quote | Funding | InstrumentState | PlatformState | GroupedBook

Decode = Callable[[bytes, str | None], tuple[str, Any]]


def decoder_of(channel: str) -> Decode | None:
    """Return what reads the messages of a channel; None if nothing here does."""
    if channel == PLATFORM_STATE:
        return _decode_platform_state
    if channel.startswith(INSTRUMENT_STATE_PREFIX):
        return _decode_instrument_state
    kind, _, rest = channel.partition(".")
    if kind == "book" and rest.count(".") == 3:
        return _decode_grouped
    return _DECODERS.get(kind)


def subject_of(channel: str, raw: bytes) -> str | None:
    """Return the instrument that a message on a channel about many names; "" if it is for all.

    None if it is about none that is known here, or cannot be read.
    """
    if channel == PLATFORM_STATE:
        return ""
    if not channel.startswith(INSTRUMENT_STATE_PREFIX):
        return None
    try:
        return instrument_states.decode(raw).params.data.instrument_name
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _decode_ticker(raw: bytes, instrument: str | None) -> tuple[str, Figures]:
    params = tickers.decode(raw).params
    data = params.data
    check_name(params.channel, data.instrument_name, instrument)
    ticker = Ticker(
        data.timestamp, data.mark_price, data.index_price, data.funding_8h, data.open_interest
    )
    quote = _best(data, data.timestamp)
    return params.channel, Figures(ticker, quote, data.state, data.current_funding)


def _decode_quote(raw: bytes, instrument: str | None) -> tuple[str, Quote]:
    params = quotes.decode(raw).params
    data = params.data
    check_name(params.channel, data.instrument_name, instrument)
    quote = _best(data, data.timestamp)
    return params.channel, Quote(data.timestamp, None, None) if quote is None else quote


def _best(data: Best, timestamp_ms: int) -> Quote | None:
    bid_price, bid_amount = data.best_bid_price, data.best_bid_amount
    ask_price, ask_amount = data.best_ask_price, data.best_ask_amount
    if bid_price is UNSET or bid_amount is UNSET or ask_price is UNSET or ask_amount is UNSET:
        return None
    return Quote(timestamp_ms, _level(bid_price, bid_amount), _level(ask_price, ask_amount))


def _level(price: float | None, amount: float | None) -> Level | None:
    """Return a best level; None for an empty side, which the venue writes as 0 or as null."""
    level = units_of(price or 0.0), units_of(amount or 0.0)
    return level if level[0] and level[1] else None


def _decode_perpetual(raw: bytes, instrument: str | None) -> tuple[str, Funding]:
    params = perpetuals.decode(raw).params
    data = params.data
    name = data.instrument_name
    check_name(params.channel, params.channel.split(".")[1] if name is None else name, instrument)
    return params.channel, Funding(data.timestamp, data.interest, data.index_price)


def _decode_instrument_state(raw: bytes, instrument: str | None) -> tuple[str, InstrumentState]:
    params = instrument_states.decode(raw).params
    data = params.data
    if instrument is not None and data.instrument_name != instrument:
        raise Unreadable(f"the data are about {data.instrument_name}, the frame about {instrument}")
    return params.channel, InstrumentState(data.timestamp, data.state)


def _decode_platform_state(raw: bytes, _: str | None) -> tuple[str, PlatformState]:
    params = platform_states.decode(raw).params
    data = params.data
    # The documents have a boolean, the schema of `public/status` the words true, partial, false.
    locked = data.locked if isinstance(data.locked, bool | None) else data.locked != "false"
    return params.channel, PlatformState(data.maintenance, data.price_index, locked)


def _decode_grouped(raw: bytes, instrument: str | None) -> tuple[str, GroupedBook]:
    params = grouped_books.decode(raw).params
    data = params.data
    check_name(params.channel, data.instrument_name, instrument)
    return params.channel, GroupedBook(
        params.channel, data.timestamp, data.change_id, data.bids, data.asks
    )


_DECODERS: Final[dict[str, Decode]] = {
    "ticker": _decode_ticker,
    "quote": _decode_quote,
    "perpetual": _decode_perpetual,
}
