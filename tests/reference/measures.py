"""The reference's measures are the formulas of `docs/measures.md` for one book, or for two.

Absence is None: a measure of a book that is not two-sided does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Final

from tests.reference.book import LEVELS, Level, State

RATIO_DIGITS: Final = 12
"""A ratio that is to be averaged is rounded to this many decimals first."""


def order_flow(before: State, after: State) -> list[Decimal]:
    """Return each level's increment between two books, in USD: bids count up, asks count down."""
    bids = zip(_padded(before.bids), _padded(after.bids), strict=True)
    asks = zip(_padded(before.asks), _padded(after.asks), strict=True)
    return [
        _increment(*bid, better=1) - _increment(*ask, better=-1)
        for bid, ask in zip(bids, asks, strict=True)
    ]


def _increment(old: Level | None, new: Level | None, *, better: int) -> Decimal:
    """Return what a side gained at one level; `better` is the direction of a better price."""
    if new is None:
        return -old.usd if old else Decimal(0)
    if old is None:
        return new.usd
    improvement = better * (new.price - old.price)
    if improvement > 0:
        return new.usd
    if improvement < 0:
        return -old.usd
    return new.usd - old.usd


def _padded(side: tuple[Level, ...]) -> list[Level | None]:
    return [*side, *[None] * (LEVELS - len(side))]


def imbalance(state: State, name: str) -> Fraction | None:
    """Return `(B−A)/(B+A)` over the levels of a depth or a band."""
    return state.sizes[name].imbalance if name in state.sizes else None


def mid(state: State | None) -> Fraction | None:
    """Return the mean of the best prices."""
    return None if state is None or state.mid is None else Fraction(state.mid)


def weighted_mid(state: State | None) -> Fraction | None:
    """Return `(Pa·qb + Pb·qa)/(qb+qa)`: a heavy bid pulls it up."""
    if state is None or state.mid is None:
        return None
    bid, ask = state.bids[0], state.asks[0]
    return Fraction(ask.price * bid.amount + bid.price * ask.amount) / Fraction(
        bid.amount + ask.amount
    )


def spread_bp(state: State) -> Fraction | None:
    """Return `10⁴·s/m`."""
    middle = mid(state)
    if middle is None:
        return None
    return 10_000 * Fraction(state.asks[0].price - state.bids[0].price) / middle


def mean_ratio(weighted: Iterable[tuple[Fraction | None, int]]) -> Fraction | None:
    """Return the mean of the ratios that exist, each rounded half up before it is weighted."""
    scale = 10**RATIO_DIGITS
    existing = [
        # In whole numbers, as most of the time goes here: (2·n·10¹² + d) // 2d is n/d half up.
        ((2 * ratio.numerator * scale + ratio.denominator) // (2 * ratio.denominator), weight)
        for ratio, weight in weighted
        if ratio is not None
    ]
    total = sum(weight for _, weight in existing)
    return Fraction(sum(r * weight for r, weight in existing), scale * total) if total else None
