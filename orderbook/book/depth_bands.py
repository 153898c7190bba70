"""Sums of one side near the mid, kept up to date instead of summed anew for each observation.

Within 50 bp of the mid of a liquid perpetual stand hundreds of levels, and a notification changes
a few of them. So each band keeps the key its levels end at and two exact sums: a changed level
adds its difference, and a mid that moved adds or takes away only the levels that it passed. The
plain loop over all levels gives the same numbers (tests/orderbook/test_side.py) at a third of the
speed of the whole program (docs/decisions/0001-band-sums.md).
"""

from __future__ import annotations

from typing import Final

from orderbook.book.search import place_of
from orderbook.units import NOWHERE

BANDS_BP: Final = (10, 25, 50)
"""Distances from the mid, ascending; a level at exactly that distance is outside."""


class Band:
    """Size and value (size × key) of the levels with `key < limit`.

    Keys are those of a side (orderbook/book/side.py): price · direction, the best with the least.
    """

    __slots__ = ("bp", "limit", "size", "value")

    def __init__(self, bp: int) -> None:
        self.bp = bp
        self.limit = -NOWHERE
        self.size = 0
        self.value = 0


class Bands:
    """The bands of one side. `linear`: values are asked for, too; otherwise they stay 0."""

    __slots__ = ("_linear", "all", "reach", "twice_mid", "widest_first")

    def __init__(self, *, linear: bool) -> None:
        self.all = [Band(bp) for bp in BANDS_BP]
        self.widest_first = self.all[::-1]
        self.reach = -NOWHERE
        """The limit of the widest band: a level from here on concerns none."""
        self.twice_mid = 0
        """What the bands are centred on, in units of 1e-8; 0 until they are."""
        self._linear = linear

    def add(self, key: int, difference: int) -> None:
        """Let a level whose size changed by `difference` count in the bands that it is in."""
        for band in self.widest_first:
            if key >= band.limit:
                break  # what is outside a band is outside the narrower ones
            band.size += difference
            if self._linear:
                band.value += difference * key

    def centre(self, twice_mid: int, direction: int, keys: list[int], sizes: list[int]) -> None:
        """Move the bands to another mid; `keys` and `sizes` are the side's levels."""
        if twice_mid == self.twice_mid:
            return
        self.twice_mid = twice_mid
        for band in self.all:
            limit = band_limit(twice_mid, band.bp, direction)
            before = band.limit
            if limit == before:
                continue
            band.limit = limit
            is_more = before < limit
            low, high = (before, limit) if is_more else (limit, before)
            place = place_of(keys, low - 1)  # the levels that were passed stand before it
            while place > 0 and keys[place - 1] < high:
                place -= 1
                key = keys[place]
                size = sizes[place] if is_more else -sizes[place]
                band.size += size
                if self._linear:
                    band.value += size * key
        self.reach = self.widest_first[0].limit


def band_limit(twice_mid: int, bp: int, direction: int) -> int:
    """Return the least key outside a band: of p > m(1−x) for bids, of p < m(1+x) for asks.

    With m = twice_mid/2, x = bp/10⁴ and key = direction·p, a level is inside if
    20000·key < twice_mid·(direction·10⁴ + bp).
    """
    return -(-twice_mid * (direction * 10_000 + bp) // 20_000)
