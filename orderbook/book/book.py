"""An order book that follows its chain: `apply` answers the book, or why it could not.

A change is applied only if it names the book's own last change as its predecessor. What does not
follow changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from orderbook.book.side import ASK, BID, Side
from orderbook.events import Change


@dataclass(frozen=True, slots=True)
class Gap:
    """A change does not follow the book's last one."""

    expected: int | None
    found: int | None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The book includes the change already."""

    change_id: int


@dataclass(frozen=True, slots=True)
class Crossed:
    """After the change the best bid is not below the best ask: the book cannot be right."""

    bid: int
    ask: int


class Book:
    """Bids and asks as of `change_id`; empty, and following nothing, until a snapshot.

    `linear`: sizes are in the base coin, so the sides sum values, too.
    """

    __slots__ = ("asks", "bids", "change_id", "linear", "timestamp_ms")

    def __init__(self, *, linear: bool = True) -> None:
        self.linear = linear
        self.bids = Side(BID, linear=linear)
        self.asks = Side(ASK, linear=linear)
        self.change_id: int | None = None
        self.timestamp_ms = 0

    def why_not(self, change: Change) -> Gap | Duplicate | None:
        """Return why a change cannot be applied; None if it can. A snapshot always can."""
        if change.previous_id is None:
            return None
        last = self.change_id
        if last is None:
            return Gap(None, change.previous_id)
        if change.change_id <= last:
            return Duplicate(change.change_id)
        return None if change.previous_id == last else Gap(last, change.previous_id)

    def is_as(self, snapshot: Change) -> bool:
        """Return whether a snapshot says what the book holds already."""
        bids = Side(BID, snapshot.bids, linear=self.linear)
        asks = Side(ASK, snapshot.asks, linear=self.linear)
        return (
            bids.keys == self.bids.keys
            and bids.sizes == self.bids.sizes
            and asks.keys == self.asks.keys
            and asks.sizes == self.asks.sizes
        )

    def apply(self, change: Change) -> Self | Gap | Duplicate | Crossed:
        """Apply a snapshot or a change that follows; anything else leaves the book as it is.

        A change after which the book is crossed has been applied when `Crossed` is answered: the
        book is then of no use until the next snapshot.
        """
        problem = self.why_not(change)
        if problem is not None:
            return problem
        if change.previous_id is None:
            self.bids = Side(BID, change.bids, linear=self.linear)
            self.asks = Side(ASK, change.asks, linear=self.linear)
        else:
            if change.bids:
                self.bids.update(change.bids)
            if change.asks:
                self.asks.update(change.asks)
        self.change_id = change.change_id
        self.timestamp_ms = change.timestamp_ms
        bids, asks = self.bids.keys, self.asks.keys
        if bids and asks and -bids[-1] >= asks[-1]:
            return Crossed(-bids[-1], asks[-1])
        return self

    @property
    def is_two_sided(self) -> bool:
        """Return whether both sides have a level."""
        return bool(self.bids.keys and self.asks.keys)

    def check(self) -> None:
        """Raise ValueError if an invariant of a usable book is broken."""
        self.bids.check()
        self.asks.check()
        if self.is_two_sided:
            bid, ask = -self.bids.keys[-1], self.asks.keys[-1]
            if bid >= ask:
                raise ValueError(f"the book is crossed: {bid} >= {ask}")
