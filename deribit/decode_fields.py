"""Decodes single fields of the venue's messages: numbers, sides, names of channels.

Shared by all decoders: one place says which numbers, times and names are believed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec

from orderbook.units import to_units

MAX_TIME_MS: Final = 10**14
"""In the year 5138; a later stamp is in another unit than milliseconds."""
MAX_FIGURE: Final = 1e15
"""No figure of a ticker is as large."""

CHANNELS_REMEMBERED: Final = 4_096
"""Taking a channel's name apart costs 3 µs, finding what it said 0.2 µs."""
CHANNEL_MAX_CHARACTERS: Final = 128
"""A longer name is nobody's, and is not remembered."""

TimeMs = Annotated[int, msgspec.Meta(ge=0, lt=MAX_TIME_MS)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Figure = Annotated[float, msgspec.Meta(gt=-MAX_FIGURE, lt=MAX_FIGURE)]
Subscription = Literal["subscription"]

_OF_ONE_INSTRUMENT: Final = frozenset(
    {"book", "ticker", "incremental_ticker", "quote", "perpetual"}
)


class Unreadable(ValueError):
    """A message is not what its channel should carry."""


def instrument_of(channel: str) -> str:
    """Return the instrument in a channel's name: `book.X.100ms` → `X`; "" if it has none."""
    return _instrument_of(channel) if len(channel) <= CHANNEL_MAX_CHARACTERS else _taken(channel)


def _taken(channel: str) -> str:
    kind, *rest = channel.split(".")
    if kind == "trades":  # `trades.X.raw`, but `trades.KIND.CURRENCY.raw`
        return rest[0] if len(rest) == 2 else ""
    if kind == "chart":  # `chart.trades.X.1`
        return rest[1] if len(rest) == 3 else ""
    return rest[0] if rest and kind in _OF_ONE_INSTRUMENT else ""


_instrument_of = lru_cache(CHANNELS_REMEMBERED)(_taken)


def check_name(channel: str, named: str, instrument: str | None) -> None:
    """Raise Unreadable if channel, data and frame are not all about the same instrument."""
    if instrument_of(channel) != named:
        raise Unreadable(f"the data are about {named}, the channel is {channel}")
    if instrument is not None and named != instrument:
        raise Unreadable(f"the data are about {named}, the frame about {instrument}")


def units_of(value: float) -> int:
    """Return a price or an amount in units of 1e-8; raise Unreadable if it cannot be one."""
    try:
        return to_units(value)
    except ValueError as error:
        raise Unreadable(str(error)) from error
