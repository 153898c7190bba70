"""The state of a two-sided book at an instant: spread, imbalance and depth, by levels and bands.

Imbalance is (bids − asks)/(bids + asks) of the sizes as quoted: Lipton, Pesavento & Sotiropoulos,
"Trade arrival dynamics and quote imbalance" (2013), eq. 1. It lies in [−1, 1]; positive means that
the bid is heavier.
"""

from __future__ import annotations

from itertools import chain
from typing import Final, NamedTuple, Self

from orderbook.book.book import Book
from orderbook.book.depth_bands import BANDS_BP
from orderbook.book.top_levels import FRONT_LEVELS, LEVELS
from orderbook.units import from_record, quotient, ratio, to_record

__all__ = ["BANDS_BP", "LEVELS", "Snapshot", "imbalance", "imbalance_ratio", "measure"]

PLACES: Final = len(LEVELS) + len(BANDS_BP)


class Snapshot(NamedTuple):
    """The measured state of a two-sided book; prices and sizes in units of 1e-8, as quoted."""

    bid: int
    """Best bid price."""
    ask: int
    bid_size: int
    ask_size: int
    levels: int
    """Levels of the side that has more of them, up to ten."""
    sums: tuple[tuple[int, int], ...]
    """(bids, asks) sizes within each of LEVELS, then of BANDS_BP; a band may be (0, 0)."""
    usd: tuple[tuple[int, int], ...]
    """The same in USD: units of 1e-8 for an inverse instrument, of 1e-16 for a linear one."""

    def spread_ratio(self) -> int:
        """Return the spread in bp of the mid, in units of 1e-12."""
        return ratio(20_000 * (self.ask - self.bid), self.bid + self.ask)

    def to_record(self) -> list[int | str]:
        """Return the state as one flat list."""
        pairs = chain.from_iterable((*self.sums, *self.usd))
        return to_record((*self[:5], *pairs))

    @classmethod
    def from_record(cls, record: list[int | str]) -> Self:
        """Return the state of a record; raise ValueError if it is none."""
        bid, ask, bid_size, ask_size, levels, *rest = from_record(record, 5 + 4 * PLACES)
        pairs = tuple(zip(rest[::2], rest[1::2], strict=True))
        return cls(bid, ask, bid_size, ask_size, levels, pairs[:PLACES], pairs[PLACES:])


def measure(book: Book, *, linear: bool) -> Snapshot:
    """Return the state of a two-sided book; raise IndexError if a side is empty."""
    bids, asks = book.bids, book.asks
    bid, ask = -bids.keys[-1], asks.keys[-1]
    bid_front, ask_front = bids.front(), asks.front()
    bid_bands, ask_bands = bids.near(bid + ask).all, asks.near(bid + ask).all
    sums = [*zip(bid_front.sums, ask_front.sums, strict=True)]
    sums += [(one.size, other.size) for one, other in zip(bid_bands, ask_bands, strict=True)]
    usd = sums
    if linear:
        usd = [*zip(bid_front.values, ask_front.values, strict=True)]
        usd += [(-one.value, other.value) for one, other in zip(bid_bands, ask_bands, strict=True)]
    levels = min(FRONT_LEVELS, max(len(bids.keys), len(asks.keys)))
    return Snapshot(bid, ask, bid_front.sums[0], ask_front.sums[0], levels, tuple(sums), tuple(usd))


def imbalance(bids: int, asks: int) -> float | None:
    """Return (bids − asks)/(bids + asks), or None if there is nothing on either side."""
    total = bids + asks
    return quotient(bids - asks, total) if total else None


def imbalance_ratio(bids: int, asks: int) -> int:
    """Return the imbalance in units of 1e-12; the sum of the sizes must not be 0."""
    return ratio(bids - asks, bids + asks)
