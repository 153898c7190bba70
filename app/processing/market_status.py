"""The market status of an instrument: what the venue announced besides book and trades.

Nothing here enters a measure. It says in what market the numbers were made: whether the instrument
is open, whether the venue is in maintenance, what its funding is, what its ticks are.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from deribit.decode_quotes_states import (
    Figures,
    Funding,
    InstrumentState,
    PlatformState,
)
from deribit.vocabulary import GONE_STATES
from models.frame import Described
from orderbook.events import Change, GroupedBook
from orderbook.units import to_units

MAX_LOCKED_INDICES: Final = 100
MAX_TICK_SIZES: Final = 100


class MarketStatus:
    """The venue's latest word on everything around one instrument; None: it has said nothing."""

    def __init__(self) -> None:
        self.state: str | None = None
        """`open`, `halted`, `closed`, …: the venue's word, from instrument.state or a ticker."""
        self.funding: float | None = None
        """The current funding rate, for 8 hours, from `perpetual` or a ticker of this session."""
        self.funding_ms = 0
        """The venue's time of that."""
        self.grouped: GroupedBook | None = None
        """The venue's own view of the best levels. Not sequence-checked, and in no measure."""
        self.linear: bool | None = None
        self.price_index = ""
        self.maintenance: bool | None = None
        self.locked: list[str] = []
        """Price indices that are locked, of this instrument or of others."""
        self._ticks: list[tuple[int, int]] = []
        """(price, tick): the tick above that price, ascending, in units of 1e-8."""

    def connect(self) -> None:
        """A session begins: what was announced to the last one may have ended since."""
        self.state = self.funding = self.grouped = self.maintenance = None
        self.locked = []

    def describe(self, described: Described) -> None:
        """Take the venue's description; raise ValueError if a number in it cannot be."""
        if len(described.tick_sizes) > MAX_TICK_SIZES:
            raise ValueError(f"{len(described.tick_sizes)} tick sizes; {MAX_TICK_SIZES} at most")
        self._ticks = sorted(
            (to_units(above), to_units(tick)) for above, tick in described.tick_sizes if tick > 0
        )
        if described.linear is not None:
            self.linear = described.linear
        self.price_index = described.price_index

    def take(
        self, event: Figures | Funding | InstrumentState | PlatformState | GroupedBook
    ) -> None:
        """Note a statement; of two about the same the last to arrive counts."""
        match event:
            case Figures():
                if event.state is not None:
                    self.state = event.state
                if event.current_funding is not None:
                    self.funding = event.current_funding
                    self.funding_ms = event.ticker.timestamp_ms
            case Funding():
                self.funding, self.funding_ms = event.rate, event.timestamp_ms
            case InstrumentState():
                self.state = event.state
            case GroupedBook():
                self.grouped = event
            case PlatformState(maintenance, price_index, is_locked):
                if maintenance is not None:
                    self.maintenance = maintenance
                if price_index is not None and is_locked is not None:
                    self._lock(price_index, is_locked)

    def _lock(self, price_index: str, is_locked: bool) -> None:
        others = [each for each in self.locked if each != price_index]
        self.locked = ([*others, price_index] if is_locked else others)[-MAX_LOCKED_INDICES:]
        if self.maintenance is None:
            self.maintenance = False  # it speaks, and not of maintenance

    @property
    def is_gone(self) -> bool:
        """Return whether the instrument has ended at the venue."""
        return self.state in GONE_STATES

    @property
    def platform(self) -> str | None:
        """`open`, `locked`, `maintenance`; None if nothing was announced in this session."""
        if self.maintenance:
            return "maintenance"
        if self.price_index in self.locked:
            return "locked"
        return None if self.maintenance is None else "open"

    def off_tick(self, change: Change) -> int:
        """Return how many levels of a message have a price that is no multiple of its tick.

        They are counted and not refused: a tick may change before the venue's list is read again,
        and orders from before it rest where they are.
        """
        ticks = self._ticks
        if not ticks:
            return 0
        found = 0
        for levels in (change.bids, change.asks):
            for price, size in levels:
                place = 0 if len(ticks) == 1 else bisect_left(ticks, (price, 0)) - 1
                if size and price % ticks[max(0, place)][1]:
                    found += 1
        return found

    def to_record(self) -> list[Any]:
        """Return everything that the future depends on."""
        return [
            self.state,
            [self.funding, self.funding_ms],
            self.grouped,
            [self.linear, self.price_index, self._ticks],
            [self.maintenance, self.locked],
        ]

    def restore(self, record: list[Any]) -> None:
        """Take the state of a record; raise ValueError or TypeError if it is none."""
        self.state, (self.funding, self.funding_ms), grouped, description, platform = record
        self.linear, self.price_index, ticks = description
        self._ticks = [(above, tick) for above, tick in ticks]
        self.maintenance, self.locked = platform
        if grouped is not None:
            *head, bids, asks = grouped
            sides = ([(price, size) for price, size in side] for side in (bids, asks))
            grouped = GroupedBook(*head, *sides)
        self.grouped = grouped
