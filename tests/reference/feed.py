"""The reference's reader turns a feed's raw JSON into exact values, or refuses a message whole.

It shares no code with the product: the text goes through `json.loads`, every number becomes a
`Decimal` of the digits that were written, and nothing is ever a float. A message that is not
understood to its end raises `Malformed`; there is no partial result.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

UNITS_PER_ONE: Final = 10**8
UNIT: Final = Decimal("1e-8")
"""Prices and sizes are whole multiples of one unit, 10⁻⁸."""
MAX_MAGNITUDE_DIGITS: Final = 15
"""Digits before the point of the largest number that is believed; 10¹⁵ USD is no order."""
MIN_MAGNITUDE_DIGITS: Final = -400
"""Smaller than any double: a number that only a fault writes, and that takes up its exponent."""
MAX_TIME_MS: Final = 10**14
"""In the year 5138; a later stamp is in another unit than milliseconds."""
MAX_ID: Final = 2**63
ACTIONS: Final = frozenset({"new", "change", "delete"})

Item = tuple[Any, ...]
"""One of ("message", received_ns, bytes) · ("connected", …) · ("disconnected", …) ·
("gap", received_ns, channel, …) · ("tick", venue_ms, quiet_ms) · ("trades_followed", bool), in feed
order."""


class Malformed(ValueError):
    """A message that is not what its channel promises; it changes nothing."""


@dataclass(frozen=True, slots=True)
class LevelChange:
    """The new total size at one price; zero removes the level."""

    price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class BookMessage:
    """One notification of the incremental book."""

    timestamp_ms: int
    change_id: int
    prev_change_id: int | None
    """The change_id this one follows; None in a snapshot, which follows nothing."""
    bids: tuple[LevelChange, ...]
    asks: tuple[LevelChange, ...]


@dataclass(frozen=True, slots=True)
class Trade:
    """One execution, with the direction of its taker."""

    timestamp_ms: int
    sequence: int | None
    price: Decimal
    amount: Decimal
    is_buy: bool
    is_block: bool
    is_combo: bool
    liquidated: str
    """`M`, `T` or `MT`: the maker, the taker, both; else empty."""

    @property
    def is_flow(self) -> bool:
        """Whether it was matched in the instrument's own order book."""
        return not self.is_block and not self.is_combo

    def liquidated_sides(self) -> set[str]:
        """Return what those did who were liquidated: `buy`, `sell`, both, or nothing."""
        taker, maker = ("buy", "sell") if self.is_buy else ("sell", "buy")
        who = {"M": {maker}, "T": {taker}, "MT": {maker, taker}}
        return who.get(self.liquidated, set())


@dataclass(frozen=True, slots=True)
class Ticker:
    """The instrument's context at one time; what the venue left out is None."""

    timestamp_ms: int
    mark_price: Fraction | None
    index_price: Fraction | None
    funding_8h: Fraction | None
    open_interest: Fraction | None


def from_recording(lines: Iterable[bytes]) -> Iterator[Item]:
    """Yield the items of a recording: `received_ns SPACE message`, where `null` is a disconnect.

    The first message opens a session, and so does the first one after a disconnect.
    """
    connected = False
    for number, line in enumerate(lines, start=1):
        stamp, space, message = line.strip().partition(b" ")
        if not space or not stamp.isdigit():
            raise ValueError(
                f"line {number} of the recording is not 'received_ns message': {line[:60]!r}"
            )
        received_ns = int(stamp)
        if message.strip() == b"null":
            connected = False
            yield ("disconnected", received_ns)
            continue
        if not connected:
            connected = True
            yield ("connected", received_ns)
        yield ("message", received_ns, message)


def parse(
    message: bytes, instrument: str, book_channel: str
) -> BookMessage | Ticker | tuple[Trade, ...] | None:
    """Return what the message says about the instrument, None if it is about something else."""
    try:
        envelope = json.loads(
            message.decode("utf-8"), parse_float=Decimal, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from error
    if not isinstance(envelope, dict) or envelope.get("method") != "subscription":
        return None
    params = envelope.get("params")
    if not isinstance(params, dict) or "channel" not in params:
        return None
    channel, data = params["channel"], params.get("data")
    if channel == book_channel:
        return _book(_of_instrument(data, instrument))
    if isinstance(channel, str) and channel.startswith(f"trades.{instrument}."):
        if not isinstance(data, list):
            raise Malformed("data of a trades channel is not a list")
        return tuple(_trade(_of_instrument(entry, instrument)) for entry in data)
    if isinstance(channel, str) and channel.startswith(f"ticker.{instrument}."):
        return _ticker(_of_instrument(data, instrument))
    return None


def _book(data: dict[str, Any]) -> BookMessage:
    kind = data.get("type")
    if kind not in {None, "snapshot", "change"}:
        raise Malformed(f"type {kind!r} is neither snapshot nor change")
    previous = data.get("prev_change_id")
    if previous is not None:
        previous = _whole(data, "prev_change_id")
    # Older recordings have snapshots without a type, and with a prev_change_id of 0 or a real one.
    is_snapshot = kind == "snapshot" or not previous
    message = BookMessage(
        timestamp_ms=_time(data),
        change_id=_whole(data, "change_id"),
        prev_change_id=None if is_snapshot else previous,
        bids=_levels(data, "bids"),
        asks=_levels(data, "asks"),
    )
    for side in (message.bids, message.asks) if is_snapshot else ():
        if len({level.price for level in side}) < len(side):
            raise Malformed("a snapshot names a price twice")
        if not all(level.amount for level in side):
            raise Malformed("a snapshot deletes a level")
    return message


def _levels(data: dict[str, Any], side: str) -> tuple[LevelChange, ...]:
    entries = data.get(side)
    if not isinstance(entries, list):
        raise Malformed(f"{side} is not a list")
    changes = []
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != 3:
            raise Malformed(f"{side} holds {entry!r}, not [action, price, amount]")
        action, price, amount = entry
        if not isinstance(action, str) or action not in ACTIONS:
            raise Malformed(f"{side} holds the action {action!r}")
        size = _quantity(amount, "amount")
        if action != "delete" and not size:
            raise Malformed(f"{side} holds the action {action!r} with an amount of zero")
        changes.append(
            LevelChange(_positive(price, "price"), Decimal(0) if action == "delete" else size)
        )
    return tuple(changes)


def _trade(data: dict[str, Any]) -> Trade:
    direction = data.get("direction")
    if direction not in ("buy", "sell"):
        raise Malformed(f"direction {direction!r} is neither buy nor sell")
    liquidation = data.get("liquidation")
    if not isinstance(liquidation, str | None):
        raise Malformed(f"liquidation is {liquidation!r}, not a text")
    return Trade(
        timestamp_ms=_time(data),
        sequence=None if data.get("trade_seq") is None else _whole(data, "trade_seq"),
        price=_positive(data.get("price"), "price"),
        amount=_positive(data.get("amount"), "amount"),
        is_buy=direction == "buy",
        is_block=_has_any(data, "block_trade_id", "block_rfq_id"),
        is_combo=_has_any(data, "combo_id", "combo_trade_id"),
        liquidated=liquidation if liquidation in {"M", "T", "MT"} else "",
    )


def _has_any(data: dict[str, Any], *names: str) -> bool:
    return any(data.get(name) is not None for name in names)


def _ticker(data: dict[str, Any]) -> Ticker:
    return Ticker(
        timestamp_ms=_time(data),
        mark_price=_optional(data, "mark_price"),
        index_price=_optional(data, "index_price"),
        funding_8h=_optional(data, "funding_8h"),
        open_interest=_optional(data, "open_interest"),
    )


def _of_instrument(data: object, instrument: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise Malformed("data is not an object")
    if data.get("instrument_name") != instrument:
        raise Malformed(f"instrument_name is {data.get('instrument_name')!r}, not {instrument}")
    return data


def _time(data: dict[str, Any]) -> int:
    value = _whole(data, "timestamp")
    if value >= MAX_TIME_MS:
        raise Malformed(f"timestamp {value} is no time in milliseconds")
    return value


def _whole(data: dict[str, Any], name: str) -> int:
    value = data.get(name)
    # `type`, because True is an int to isinstance
    if type(value) is not int or not 0 <= value < MAX_ID:
        raise Malformed(f"{name} is {value!r}, not a whole number of 63 bits")
    return value


def _optional(data: dict[str, Any], name: str) -> Fraction | None:
    value = data.get(name)
    return None if value is None else Fraction(_number(value, name))


def _positive(value: object, name: str) -> Decimal:
    quantity = _quantity(value, name)
    if not quantity:
        raise Malformed(f"{name} is zero")
    return quantity


def _quantity(value: object, name: str) -> Decimal:
    """Return the value as a multiple of one unit, in one spelling: `8.39e4` is `83900.00000000`."""
    number = _number(value, name)
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    # Digits beyond the eighth may be zeros; fractions, which are slow, are for these alone.
    is_whole = exponent >= -8 or (Fraction(number) * UNITS_PER_ONE).denominator == 1
    if number < 0 or not is_whole:
        raise Malformed(f"{name} {value} is not a multiple of 1e-8 from zero up")
    return number.quantize(UNIT)


def _number(value: object, name: str) -> Decimal:
    if type(value) is not int and not isinstance(value, Decimal):
        raise Malformed(f"{name} is {value!r}, not a number")
    number = Decimal(value)
    if not number:
        return Decimal(0)
    if not MIN_MAGNITUDE_DIGITS <= number.adjusted() < MAX_MAGNITUDE_DIGITS:
        raise Malformed(f"{name} {number} is out of range")
    return number


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")
