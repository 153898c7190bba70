"""Selects what to record: kinds of channels for instruments, or channels by their full names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from deribit.vocabulary import (
    RAW,
    Kind,
    channel_name,
    is_channel_kind,
    parse_channel,
    venue_channel,
)
from orderbook.instrument_names import is_instrument_name

OTHER_INTERVAL = "100ms"
"""Interval of trades, tickers and funding, where books are not raw."""


@dataclass(frozen=True, slots=True)
class ChannelSelection:
    """The channels to record, which may depend on what the venue lists."""

    kinds: tuple[str, ...]
    """Kinds of channels, recorded for every instrument."""
    names: tuple[str, ...]
    """Channels by name."""
    instruments: tuple[str, ...]
    """Empty: all open perpetuals of the venue."""
    interval: str
    """Interval of the books."""

    @classmethod
    def parse(cls, channels: Iterable[str], instruments: Iterable[str], interval: str) -> Self:
        """Return the choice of these words; raise ValueError with the word that is wrong."""
        kinds: list[str] = []
        names: list[str] = []
        for word in channels:
            if (about_many := venue_channel(word)) is not None:
                names.append(about_many)
            elif is_channel_kind(word):
                kinds.append(word)
            elif parse_channel(word) is not None:
                names.append(word)
            else:
                raise ValueError(
                    f"{word!r} is no channel: write a kind ({', '.join(Kind)}), which is recorded "
                    "for every instrument, or a whole name such as book.BTC-PERPETUAL.100ms"
                )
        given = tuple(dict.fromkeys(instruments))
        for name in given:
            if not is_instrument_name(name):
                raise ValueError(f"{name!r} is no instrument name; BTC-PERPETUAL is one")
        if not kinds and not names:
            raise ValueError("no channel is given")
        return cls(tuple(kinds), tuple(dict.fromkeys(names)), given, interval)

    def channels(self, listed: Iterable[str]) -> tuple[str, ...]:
        """Return the channels to follow, where the venue lists these instruments."""
        others = RAW if self.interval == RAW else OTHER_INTERVAL
        found = dict.fromkeys(self.names)
        for instrument in self.instruments or listed:
            for kind in self.kinds:
                interval = self.interval if kind == Kind.BOOK else others
                found[channel_name(kind, instrument, interval)] = None
        return tuple(found)
