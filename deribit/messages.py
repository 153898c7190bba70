"""Decoding of Deribit's market data: raw bytes in, the domain's events out, or why not.

Only the fields that are used are decoded. What cannot be decoded whole is refused whole, with the
reason; nothing is guessed. Shapes: docs.deribit.com, notifications; and, for recordings, the older
shapes that are still found in them (no `type`; a snapshot that names a predecessor).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from deribit.fields import Id, Subscription, TimeMs, Unreadable, check_name, instrument_of, units_of
from deribit.statements import Statement, decoder_of
from orderbook.events import Change, Level, Trade
from orderbook.units import FAST_LIMIT, UNIT

__all__ = ["Ignored", "Unreadable", "decode", "instrument_of", "is_incremental_book", "is_linear"]

MAX_LEVELS: Final = 100_000
"""Levels of a side in one notification; the deepest book seen has 2,042."""
MAX_TRADES: Final = 100_000
"""Trades in one notification; a sweep through a whole book is one for each order in it."""

LIQUIDATIONS: Final = ("M", "T", "MT")
"""Whose order was liquidated: the maker's, the taker's, or both."""

_RawLevel = tuple[Literal["new", "change", "delete"], float, float]


class _Header(msgspec.Struct):
    channel: str


class _Envelope(msgspec.Struct):
    method: Any = None
    params: Any = None


class _Book(msgspec.Struct):
    timestamp: TimeMs
    change_id: Id
    instrument_name: str
    bids: Annotated[list[_RawLevel], msgspec.Meta(max_length=MAX_LEVELS)]
    asks: Annotated[list[_RawLevel], msgspec.Meta(max_length=MAX_LEVELS)]
    type: Literal["snapshot", "change"] | None = None
    prev_change_id: Id | None = None


class _Trade(msgspec.Struct):
    timestamp: TimeMs
    instrument_name: str
    price: float
    amount: float
    direction: Literal["buy", "sell"]
    trade_seq: Id | None = None
    liquidation: str | None = None
    block_trade_id: Any = None


class _BookParams(msgspec.Struct):
    channel: str
    data: _Book


class _TradesParams(msgspec.Struct):
    channel: str
    data: Annotated[list[_Trade], msgspec.Meta(max_length=MAX_TRADES)]


class _BookMessage(msgspec.Struct):
    method: Subscription
    params: _BookParams


class _TradesMessage(msgspec.Struct):
    method: Subscription
    params: _TradesParams


class _OtherMessage(msgspec.Struct):
    method: Subscription
    params: _Header


class Ignored(msgspec.Struct, frozen=True):
    """A readable message of a kind that no measure uses."""

    channel: str


Message = tuple[str, Change | list[Trade] | Statement | Ignored]
"""The channel and what came on it."""

_envelope = msgspec.json.Decoder(_Envelope)
_book = msgspec.json.Decoder(_BookMessage)
_trades = msgspec.json.Decoder(_TradesMessage)
_other = msgspec.json.Decoder(_OtherMessage)


def decode(raw: bytes, instrument: str | None = None) -> Message | None:
    """Return what a message of the venue says; None if it is no notification of a subscription.

    `instrument`: the one that the message must be about. Raises Unreadable with the reason.
    """
    try:
        channel = _channel(raw)
        if channel is None:
            return None
        if is_incremental_book(channel):
            found, event = _decode_book(raw, instrument)
        elif channel.startswith("trades."):
            found, event = _decode_trades(raw, instrument)
        elif (read := decoder_of(channel)) is not None:
            found, event = read(raw, instrument)
        else:
            found, event = _decode_other(raw, instrument)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error
    if found != channel:
        raise Unreadable(f"a message of {channel} names the channel {found}, too")
    return channel, event


def _channel(raw: bytes) -> str | None:
    """Return the channel of a notification; None if the message is none.

    The venue writes `"channel":"` without a space and before the data, so the name is cut out, not
    decoded; the typed decoders read it again, together with the data.
    """
    start = raw.find(b'"params":{"channel":"')
    if start > 0:
        start += 21
        end = raw.find(b'"', start)
        if end > 0:
            return raw[start:end].decode()
    envelope = _envelope.decode(raw)
    if envelope.method != "subscription" or not isinstance(envelope.params, dict):
        return None
    channel = envelope.params.get("channel")
    return channel if isinstance(channel, str) else None


def channel_of(raw: bytes) -> str | None:
    """Return the channel of a notification, None if it is none; raise Unreadable if no JSON."""
    try:
        return _channel(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error


def is_incremental_book(channel: str) -> bool:
    """Whether a channel is `book.INSTRUMENT.INTERVAL`, whose changes form a chain."""
    return channel.startswith("book.") and channel.count(".") == 2


def is_linear(instrument: str) -> bool:
    """Whether sizes are in the base coin (`BTC_USDC-PERPETUAL`), not in USD (`BTC-PERPETUAL`)."""
    return "_" in instrument


def _decode_other(raw: bytes, instrument: str | None) -> Message:
    channel = _other.decode(raw).params.channel
    if instrument is not None and instrument_of(channel) != instrument:
        raise Unreadable(f"channel {channel} is not about {instrument}")
    return channel, Ignored(channel)


def _decode_book(raw: bytes, instrument: str | None) -> Message:
    params = _book.decode(raw).params
    data = params.data
    check_name(params.channel, data.instrument_name, instrument)
    # Older recordings: a snapshot had no type, or named 0 or anything as its predecessor.
    is_snapshot = data.type == "snapshot" or not data.prev_change_id
    change = Change(
        data.timestamp,
        data.change_id,
        None if is_snapshot else data.prev_change_id,
        _levels(data.bids),
        _levels(data.asks),
    )
    if is_snapshot:
        _check_snapshot(change)
    return params.channel, change


def _levels(raw: list[_RawLevel]) -> list[Level]:
    """Return levels in units; a deleted one has size 0.

    This runs for every level of every message, so the common case of `to_units` stands here again:
    it is exact, and calling it costs as much as all the rest (bench/domain.py).
    """
    levels = []
    for action, price, amount in raw:
        units = round(price * UNIT) if price < FAST_LIMIT else units_of(price)
        if units <= 0 or units / UNIT != price:
            raise Unreadable(f"price {price!r} is not a positive multiple of 1e-8")
        if action == "delete":
            if amount:  # the venue writes 0.0; what else it may be, it must be an amount
                units_of(amount)
            levels.append((units, 0))
            continue
        size = round(amount * UNIT) if amount < FAST_LIMIT else units_of(amount)
        if size <= 0 or size / UNIT != amount:
            raise Unreadable(f"amount {amount!r} at {price!r} is not a positive multiple of 1e-8")
        levels.append((units, size))
    return levels


def _check_snapshot(change: Change) -> None:
    for levels in (change.bids, change.asks):
        if len({price for price, _ in levels}) != len(levels):
            raise Unreadable("a snapshot names a price twice")
        if any(size == 0 for _, size in levels):
            raise Unreadable("a snapshot deletes a level")


def _decode_trades(raw: bytes, instrument: str | None) -> Message:
    params = _trades.decode(raw).params
    trades = []
    if instrument is not None and instrument_of(params.channel) != instrument:
        raise Unreadable(f"channel {params.channel} is not about {instrument}")
    is_of_one = params.channel.count(".") == 2  # not `trades.option.any.raw`
    for data in params.data:
        if is_of_one:
            check_name(params.channel, data.instrument_name, instrument)
        price, size = units_of(data.price), units_of(data.amount)
        if price == 0 or size == 0:
            raise Unreadable("a trade without a price or an amount")
        trades.append(
            Trade(
                data.timestamp,
                data.trade_seq,
                price,
                size,
                data.direction == "buy",
                data.liquidation in LIQUIDATIONS,
                data.block_trade_id is not None,
            )
        )
    return params.channel, trades
