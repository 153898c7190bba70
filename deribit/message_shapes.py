"""The shapes of book and trade notifications, as msgspec reads them: only the fields that are used.

They stand apart because they are never compiled (docs/decisions/0008-compiled.md): msgspec makes
its own fast classes of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from deribit.decode_fields import Id, Subscription, TimeMs

MAX_LEVELS: Final = 100_000
"""Levels of a side in one notification; the deepest book seen has 2,042."""
MAX_TRADES: Final = 100_000
"""Trades in one notification; a sweep through a whole book is one for each order in it."""

RawLevel = tuple[Literal["new", "change", "delete"], float, float]


class Header(msgspec.Struct):
    channel: str


class Envelope(msgspec.Struct):
    method: Any = None
    params: Any = None


class Book(msgspec.Struct):
    timestamp: TimeMs
    change_id: Id
    instrument_name: str
    bids: Annotated[list[RawLevel], msgspec.Meta(max_length=MAX_LEVELS)]
    asks: Annotated[list[RawLevel], msgspec.Meta(max_length=MAX_LEVELS)]
    type: Literal["snapshot", "change"] | None = None
    prev_change_id: Id | None = None


class Trade(msgspec.Struct):
    timestamp: TimeMs
    instrument_name: str
    price: float
    amount: float
    direction: Literal["buy", "sell"]
    trade_seq: Id | None = None
    liquidation: str | None = None
    block_trade_id: Any = None
    block_rfq_id: Any = None
    combo_id: Any = None
    combo_trade_id: Any = None
    """A number, which is written as a float in some replies, or a text."""


class BookParams(msgspec.Struct):
    channel: str
    data: Book


class TradesParams(msgspec.Struct):
    channel: str
    data: Annotated[list[Trade], msgspec.Meta(max_length=MAX_TRADES)]


class BookMessage(msgspec.Struct):
    method: Subscription
    params: BookParams


class TradesMessage(msgspec.Struct):
    method: Subscription
    params: TradesParams


class OtherMessage(msgspec.Struct):
    method: Subscription
    params: Header


class Ignored(msgspec.Struct, frozen=True):
    """A readable message of a kind that no measure uses."""

    channel: str


envelopes = msgspec.json.Decoder(Envelope)
books = msgspec.json.Decoder(BookMessage)
trade_lists = msgspec.json.Decoder(TradesMessage)
others = msgspec.json.Decoder(OtherMessage)
