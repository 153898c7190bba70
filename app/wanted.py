"""What a worker ingests: the default set, changed for single instruments, in its partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from deribit.words import RAW, Kind, channel_name, is_instrument_name, venue_channel

FINEST_PUBLIC_INTERVAL: Final = "100ms"


class _Override(NamedTuple):
    enabled: bool | None = None
    kinds: tuple[str, ...] | None = None
    book_interval: str | None = None


_NONE: Final = _Override()


class Wanted:
    """Which instruments are ingested here, and on what channels."""

    def __init__(
        self,
        partition_of: Callable[[str], int],
        instruments: Iterable[str],
        kinds: Sequence[str],
        book_interval: str,
    ) -> None:
        self.partitions: frozenset[int] = frozenset()
        self.listed: tuple[str, ...] = ()
        """The venue's open perpetuals: the default set, unless one was given."""
        self._partition_of = partition_of
        self._given = tuple(_checked(name) for name in instruments)
        self._kinds = tuple(kinds)
        self._book_interval = book_interval
        self._overrides: dict[str, _Override] = {}

    def override(
        self,
        instrument: str,
        enabled: bool | None,
        kinds: Sequence[str] | None,
        book_interval: str | None,
    ) -> None:
        """Want an instrument, or not, or as by default; on other channels than by default."""
        chosen = _Override(enabled, tuple(kinds) if kinds is not None else None, book_interval)
        if chosen == _NONE:
            self._overrides.pop(_checked(instrument), None)
        else:
            self._overrides[_checked(instrument)] = chosen

    def instruments(self) -> list[str]:
        """Return the instruments to ingest here."""
        names = dict.fromkeys(self._given or self.listed)
        for instrument, override in self._overrides.items():
            if override.enabled:
                names[instrument] = None
            elif override.enabled is False:
                names.pop(instrument, None)
        return [name for name in names if self._partition_of(name) in self.partitions]

    def channels(self) -> dict[str, str]:
        """Return the channels to subscribe, each with the incremental book of its instrument.

        Those that are about many instruments come with "", and only to who owns a partition.
        """
        channels: dict[str, str] = {}
        for kind in self._kinds if self.partitions else ():
            if (about_many := venue_channel(kind)) is not None:
                channels[about_many] = ""
        for instrument in self.instruments():
            override = self._overrides.get(instrument, _NONE)
            kinds = override.kinds if override.kinds is not None else self._kinds
            interval = override.book_interval or self._book_interval
            others = RAW if interval == RAW else FINEST_PUBLIC_INTERVAL
            book = channel_name(Kind.BOOK, instrument, interval)
            channels[book] = book
            for kind in kinds:
                if kind != Kind.BOOK and venue_channel(kind) is None:
                    channels[channel_name(kind, instrument, others)] = book
        return channels


def _checked(instrument: str) -> str:
    if not is_instrument_name(instrument):
        raise ValueError(f"{instrument!r} is no instrument name; BTC-PERPETUAL is one")
    return instrument
