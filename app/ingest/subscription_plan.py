"""Plans the subscriptions: the default set, changed for single instruments, in own partitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from deribit.events import Instrument
from deribit.served_instruments import NotServed, sizes_as_listed, sizes_by_name
from deribit.vocabulary import RAW, Kind, channel_name, venue_channel

FINEST_PUBLIC_INTERVAL: Final = "100ms"


class _Override(NamedTuple):
    enabled: bool | None = None
    kinds: tuple[str, ...] | None = None
    book_interval: str | None = None


_NONE: Final = _Override()


class SubscriptionPlan:
    """Decides which instruments are ingested here, and on what channels.

    What is asked for and cannot be had, because it is not served or the venue does not list it, is
    left out, and said: nobody can wait for it.
    """

    def __init__(
        self,
        partition_of: Callable[[str], int],
        instruments: Iterable[str],
        kinds: Sequence[str],
        book_interval: str,
    ) -> None:
        self.partitions: frozenset[int] = frozenset()
        self.listed: Mapping[str, Instrument] = {}
        """The venue's open futures by name; empty until it has listed them."""
        self._partition_of = partition_of
        self._given = tuple(instruments)
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
            self._overrides.pop(instrument, None)
        else:
            self._overrides[instrument] = chosen

    def instruments(self) -> list[str]:
        """Return the instruments to ingest here."""
        return [name for name in self._asked_for() if why_not(name, self.listed) is None]

    def refused(self) -> dict[str, str]:
        """Return what is asked for here and not ingested, with the sentence that says why."""
        found = {name: why_not(name, self.listed) for name in self._asked_for()}
        return {name: why for name, why in found.items() if why is not None}

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

    def _asked_for(self) -> list[str]:
        """Return what was asked for in the partitions owned here, whether it can be had or not."""
        names = dict.fromkeys(self._given or perpetuals(self.listed)[0])
        for instrument, override in self._overrides.items():
            if override.enabled:
                names[instrument] = None
            elif override.enabled is False:
                names.pop(instrument, None)
        return [name for name in names if self._partition_of(name) in self.partitions]


def perpetuals(listed: Mapping[str, Instrument]) -> tuple[list[str], list[str]]:
    """Return the perpetuals that are served, which are the default set, and those that are not."""
    served: list[str] = []
    others: list[str] = []
    for name, instrument in listed.items():
        if instrument.is_perpetual:
            (served if why_not(name, listed) is None else others).append(name)
    return served, others


def why_not(name: str, listed: Mapping[str, Instrument]) -> str | None:
    """Return why an instrument cannot be ingested; None if it can, as far as is known.

    `listed`: the venue's open futures by name; empty where it has not been asked.
    """
    try:
        if (found := listed.get(name)) is not None:
            sizes_as_listed(found)
            return None
        sizes_by_name(name)
    except NotServed as refusal:
        return str(refusal)
    if listed:
        return (
            f"{name} is not among the {len(listed)} open futures that the venue lists: "
            "it is misspelled, or has ended"
        )
    return None
