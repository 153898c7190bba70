"""The shapes of what the venue says besides book and trades: only the fields that are used.

They stand apart because they are never compiled, as those of books and trades (message_shapes.py).
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from deribit.decode_fields import Figure, Id, Subscription, TimeMs

MAX_GROUPED_LEVELS: Final = 100
"""Limit of the levels of a side; the venue sends up to 20."""
MAX_STATE_CHARACTERS: Final = 32

_Price = Annotated[float, msgspec.Meta(ge=0, lt=1e15)]
_State = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_STATE_CHARACTERS)]
_Levels = Annotated[list[tuple[_Price, _Price]], msgspec.Meta(max_length=MAX_GROUPED_LEVELS)]


class Best(msgspec.Struct):
    best_bid_price: float | UnsetType | None = UNSET
    best_bid_amount: float | UnsetType | None = UNSET
    best_ask_price: float | UnsetType | None = UNSET
    best_ask_amount: float | UnsetType | None = UNSET


class _Ticker(Best, kw_only=True):
    timestamp: TimeMs
    instrument_name: str
    mark_price: Figure | None = None
    index_price: Figure | None = None
    funding_8h: Figure | None = None
    current_funding: Figure | None = None
    open_interest: Figure | None = None
    state: _State | None = None


class _Quote(Best, kw_only=True):
    timestamp: TimeMs
    instrument_name: str


class _Perpetual(msgspec.Struct):
    timestamp: TimeMs
    interest: Figure
    index_price: Figure | None = None
    instrument_name: str | None = None


class _InstrumentState(msgspec.Struct):
    timestamp: TimeMs
    instrument_name: str
    state: _State


class _PlatformState(msgspec.Struct):
    maintenance: bool | None = None
    price_index: str | None = None
    locked: bool | str | None = None


class _Grouped(msgspec.Struct):
    timestamp: TimeMs
    change_id: Id
    instrument_name: str
    bids: _Levels
    asks: _Levels


class _TickerParams(msgspec.Struct):
    channel: str
    data: _Ticker


class _TickerMessage(msgspec.Struct):
    method: Subscription
    params: _TickerParams


class _QuoteParams(msgspec.Struct):
    channel: str
    data: _Quote


class _QuoteMessage(msgspec.Struct):
    method: Subscription
    params: _QuoteParams


class _PerpetualParams(msgspec.Struct):
    channel: str
    data: _Perpetual


class _PerpetualMessage(msgspec.Struct):
    method: Subscription
    params: _PerpetualParams


class _InstrumentStateParams(msgspec.Struct):
    channel: str
    data: _InstrumentState


class _InstrumentStateMessage(msgspec.Struct):
    method: Subscription
    params: _InstrumentStateParams


class _PlatformStateParams(msgspec.Struct):
    channel: str
    data: _PlatformState


class _PlatformStateMessage(msgspec.Struct):
    method: Subscription
    params: _PlatformStateParams


class _GroupedParams(msgspec.Struct):
    channel: str
    data: _Grouped


class _GroupedMessage(msgspec.Struct):
    method: Subscription
    params: _GroupedParams


tickers = msgspec.json.Decoder(_TickerMessage)
quotes = msgspec.json.Decoder(_QuoteMessage)
perpetuals = msgspec.json.Decoder(_PerpetualMessage)
instrument_states = msgspec.json.Decoder(_InstrumentStateMessage)
platform_states = msgspec.json.Decoder(_PlatformStateMessage)
grouped_books = msgspec.json.Decoder(_GroupedMessage)
