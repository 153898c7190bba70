"""Decoding of Deribit's market data: raw bytes in, the domain's events out, or why not.

Only the fields that are used are decoded. What cannot be decoded whole is refused whole, with the
reason; nothing is guessed. Shapes: docs.deribit.com, notifications; and, for recordings, the older
shapes that are still found in them (no `type`; a snapshot that names a predecessor).
"""

from __future__ import annotations

from typing import Final

import msgspec

from deribit.decode_fields import (
    CHANNEL_MAX_CHARACTERS,
    CHANNELS_REMEMBERED,
    Unreadable,
    check_name,
    instrument_of,
    units_of,
)
from deribit.decode_quotes_states import Decode, Statement, decoder_of
from deribit.message_shapes import (
    MAX_LEVELS,
    MAX_TRADES,
    Ignored,
    RawLevel,
    books,
    envelopes,
    others,
    trade_lists,
)
from orderbook.events import Change, Level, Trade
from orderbook.units import FAST_LIMIT, UNIT

__all__ = [
    "MAX_LEVELS",
    "MAX_TRADES",
    "Ignored",
    "Unreadable",
    "channel_of",
    "decode",
    "instrument_of",
    "is_incremental_book",
]

LIQUIDATIONS: Final = ("M", "T", "MT")
"""Whose order was liquidated: the maker's, the taker's, or both."""

Message = tuple[str, Change | list[Trade] | Statement | Ignored]
"""The channel and what came on it."""


class Channel:
    """A channel's name, taken apart."""

    __slots__ = ("head", "instrument", "is_book", "is_trades", "name", "other")

    def __init__(self, name: str) -> None:
        self.name = name
        self.head = _USUAL_HEAD + name.encode() + b'"'
        """What its notifications usually begin with."""
        self.instrument = instrument_of(name)
        self.is_book = is_incremental_book(name)
        self.is_trades = name.startswith("trades.")
        self.other: Decode | None = decoder_of(name)


_channels: dict[bytes, Channel] = {}
_books: dict[str, Channel] = {}
"""By instrument: the channel its book was last seen on, which most messages are of."""
_PARAMS: Final = b'"params":{"channel":"'
_USUAL_HEAD: Final = b'{"jsonrpc":"2.0","method":"subscription",' + _PARAMS
"""What all notifications began with so far; comparing costs a fifth of searching."""


def decode(raw: bytes, instrument: str | None = None) -> Message | None:
    """Return what a message of the venue says; None if it is no notification of a subscription.

    `instrument`: the one that the message must be about. Raises Unreadable with the reason.
    """
    try:
        channel = None if instrument is None else _books.get(instrument)
        if channel is None or not raw.startswith(channel.head):
            channel = _channel(raw)
        if channel is None:
            return None
        if channel.is_book:
            return channel.name, _decode_book(raw, channel, instrument)
        if channel.is_trades:
            found, event = _decode_trades(raw, instrument)
        elif channel.other is not None:
            found, event = channel.other(raw, instrument)
        else:
            found, event = _decode_other(raw, instrument)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error
    _check_channel(channel, found)
    return channel.name, event


def _channel(raw: bytes) -> Channel | None:
    """Return the channel of a notification; None if the message is none.

    The venue writes `"channel":"` without a space and before the data, so the name is cut out, not
    decoded; the typed decoders read it again, together with the data.
    """
    start = len(_USUAL_HEAD) if raw.startswith(_USUAL_HEAD) else raw.find(_PARAMS) + len(_PARAMS)
    if start > len(_PARAMS):
        end = raw.find(b'"', start)
        if end > 0 and (channel := _remembered(raw[start:end])) is not None:
            return channel
    envelope = envelopes.decode(raw)
    if envelope.method != "subscription" or not isinstance(envelope.params, dict):
        return None
    name = envelope.params.get("channel")
    return Channel(name) if isinstance(name, str) else None


def _remembered(encoded: bytes) -> Channel | None:
    """Return what a name that was cut out of a message says; None if it is not written plainly."""
    channel = _channels.get(encoded)
    if channel is None:
        if b"\\" in encoded:  # escaped, which JSON allows: not to be cut out, but decoded
            return None
        channel = Channel(encoded.decode())
        if len(encoded) <= CHANNEL_MAX_CHARACTERS:
            if len(_channels) >= CHANNELS_REMEMBERED:
                _channels.clear()
                _books.clear()
            _channels[encoded] = channel
    if channel.is_book and channel.instrument and len(encoded) <= CHANNEL_MAX_CHARACTERS:
        _books[channel.instrument] = channel
    return channel


def _check_channel(channel: Channel, found: str) -> None:
    if found != channel.name:
        raise Unreadable(f"a message of {channel.name} names the channel {found}, too")


def channel_of(raw: bytes) -> str | None:
    """Return the channel of a notification, None if it is none; raise Unreadable if no JSON."""
    try:
        channel = _channel(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(str(error)) from error
    return None if channel is None else channel.name


def is_incremental_book(channel: str) -> bool:
    """Return whether a channel is `book.INSTRUMENT.INTERVAL`, whose changes form a chain."""
    return channel.startswith("book.") and channel.count(".") == 2


def _decode_other(raw: bytes, instrument: str | None) -> Message:
    channel = others.decode(raw).params.channel
    if instrument is not None and instrument_of(channel) != instrument:
        raise Unreadable(f"channel {channel} is not about {instrument}")
    return channel, Ignored(channel)


def _decode_book(raw: bytes, channel: Channel, instrument: str | None) -> Change:
    params = books.decode(raw).params
    data = params.data
    _check_channel(channel, params.channel)
    named = data.instrument_name
    if named != channel.instrument or (instrument is not None and named != instrument):
        check_name(params.channel, named, instrument)
    # Older recordings: a snapshot had no type, or named 0 or anything as its predecessor.
    previous = data.prev_change_id
    is_snapshot = data.type == "snapshot" or not previous
    change = Change(
        data.timestamp,
        data.change_id,
        None if is_snapshot else previous,
        _levels(data.bids),
        _levels(data.asks),
    )
    if is_snapshot:
        _check_snapshot(change)
    return change


def _levels(raw: list[RawLevel]) -> list[Level]:
    """Return levels in units; a deleted one has size 0.

    This runs for every level of every message, so the common case of `to_units` stands here again:
    it is exact, and calling it costs as much as all the rest (bench/domain.py).
    """
    levels: list[Level] = []
    for action, price, amount in raw:
        if price < FAST_LIMIT:
            units = int(price * UNIT + 0.5)
            is_exact = units > 0 and units / UNIT == price  # both are exact as doubles
        else:
            units = units_of(price)
            is_exact = True
        if not is_exact:
            raise Unreadable(f"price {price!r} is not a positive multiple of 1e-8")
        if action == "delete":
            if amount:  # the venue writes 0.0; what else it may be, it must be an amount
                units_of(amount)
            levels.append((units, 0))
            continue
        if amount < FAST_LIMIT:
            size = int(amount * UNIT + 0.5)
            is_exact = size > 0 and size / UNIT == amount
        else:
            size = units_of(amount)
            is_exact = True
        if not is_exact:
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
    params = trade_lists.decode(raw).params
    trades = []
    if instrument is not None and instrument_of(params.channel) != instrument:
        raise Unreadable(f"channel {params.channel} is not about {instrument}")
    is_of_one = params.channel.count(".") == 2  # not `trades.option.any.raw`
    for data in params.data:
        if is_of_one:
            check_name(params.channel, data.instrument_name, instrument)
        price, size = units_of(data.price), units_of(data.amount)
        liquidated = data.liquidation
        if price == 0 or size == 0:
            raise Unreadable("a trade without a price or an amount")
        trades.append(
            Trade(
                data.timestamp,
                data.trade_seq,
                price,
                size,
                data.direction == "buy",
                liquidated if liquidated is not None and liquidated in LIQUIDATIONS else "",
                data.block_trade_id is not None or data.block_rfq_id is not None,
                data.combo_id is not None or data.combo_trade_id is not None,
            )
        )
    return params.channel, trades
