"""The reference's book is two sorted lists of levels, measured from scratch after each message."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from operator import attrgetter
from typing import Final

from tests.reference.feed import LevelChange

LEVELS: Final = 10
DEPTHS: Final = {"1": 1, "5": 5, "10": 10}
BANDS: Final = {"10bp": Decimal("0.0010"), "25bp": Decimal("0.0025"), "50bp": Decimal("0.0050")}


@dataclass(frozen=True, slots=True)
class Level:
    """One price of a side, the size there as quoted and in USD."""

    price: Decimal
    amount: Decimal
    usd: Decimal


@dataclass(frozen=True, slots=True)
class Sizes:
    """Both sides' total size over some levels, as quoted and in USD."""

    bid: Decimal
    ask: Decimal
    bid_usd: Decimal
    ask_usd: Decimal
    imbalance: Fraction
    """`(B−A)/(B+A)`; some level is there, so B+A is not 0."""


@dataclass(frozen=True, slots=True)
class State:
    """A live book at one instant; `mid` and `sizes` exist only if both sides have a level."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    mid: Decimal | None
    sizes: dict[str, Sizes]
    """By the keys of DEPTHS and BANDS; a band that no level is in is missing."""


class Side:
    """One side of a book: a list of its levels, best first."""

    def __init__(self, sign: int, linear: bool) -> None:
        self._sign = sign
        self._linear = linear
        self._levels: list[Level] = []

    def apply(self, changes: Iterable[LevelChange]) -> None:
        """Set or remove each level; removing an unknown one does nothing."""
        for price, amount in ((change.price, change.amount) for change in changes):
            index = self._rank(price)
            if index < len(self._levels) and self._levels[index].price == price:
                del self._levels[index]
            if amount:
                usd = amount * price if self._linear else amount
                self._levels.insert(index, Level(price, amount, usd))

    def levels(self) -> list[Level]:
        """Return all levels, best first."""
        return list(self._levels)

    def best(self, count: int) -> tuple[Level, ...]:
        """Return the best populated levels."""
        return tuple(self._levels[:count])

    def count_within(self, limit: Decimal) -> int:
        """Return how many levels are strictly better than the price `limit`."""
        return self._rank(limit)

    def sums(self, count: int) -> list[tuple[Decimal, Decimal]]:
        """Return the amount and USD of the best 0, 1, 2, … levels, up to so many."""
        levels = self._levels[:count]
        amounts = accumulate(map(attrgetter("amount"), levels), initial=Decimal(0))
        usd = accumulate(map(attrgetter("usd"), levels), initial=Decimal(0))
        return list(zip(amounts, usd, strict=True))

    def _rank(self, price: Decimal) -> int:
        """Return how many levels are strictly better: higher for a bid, lower for an ask."""
        return bisect_left(self._levels, self._sign * price, key=self._key)

    def _key(self, level: Level) -> Decimal:
        return self._sign * level.price


def state_of(bid_side: Side, ask_side: Side) -> State:
    """Return what is measured of a book."""
    bids, asks = bid_side.best(LEVELS), ask_side.best(LEVELS)
    if not bids or not asks:
        return State(bids, asks, None, {})
    mid = (bids[0].price + asks[0].price) / 2
    counts = {
        name: (min(depth, len(bids)), min(depth, len(asks))) for name, depth in DEPTHS.items()
    }
    for name, share in BANDS.items():
        near_bids = bid_side.count_within(mid * (1 - share))
        near_asks = ask_side.count_within(mid * (1 + share))
        if near_bids or near_asks:
            counts[name] = near_bids, near_asks
    bid_sums = bid_side.sums(max(bid for bid, _ in counts.values()))
    ask_sums = ask_side.sums(max(ask for _, ask in counts.values()))
    sizes = {name: _sizes(bid_sums[bid], ask_sums[ask]) for name, (bid, ask) in counts.items()}
    return State(bids, asks, mid, sizes)


def _sizes(bids: tuple[Decimal, Decimal], asks: tuple[Decimal, Decimal]) -> Sizes:
    (bid, bid_usd), (ask, ask_usd) = bids, asks
    return Sizes(bid, ask, bid_usd, ask_usd, Fraction(bid - ask) / Fraction(bid + ask))
