"""Sums of one side near the mid, kept up to date instead of summed anew for each observation.

Within 50 bp of the mid of a liquid perpetual stand hundreds of levels, and a notification changes
a few of them. So each band keeps the key its levels end at and two exact sums: a changed level
adds its difference, and a mid that moved adds or takes away only the levels that it passed. The
plain loop over all levels gives the same numbers (tests/orderbook/test_side.py) at a third of the
speed of the whole program (docs/decisions/0001-band-sums.md).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BANDS_BP: Final = (10, 25, 50)
"""Distances from the mid, ascending; a level at exactly that distance is outside."""

_WIDEST_FIRST: Final = tuple(reversed(range(len(BANDS_BP))))
_NOWHERE: Final = -(10**32)
"""Below every key: a band that ends here is empty."""


class Bands:
    """Size and value (size × key) of the levels with `key < limit`, for the limit of each band.

    Keys are those of a side (orderbook/side.py): price · direction, the best first.
    """

    __slots__ = ("limits", "reach", "sizes", "twice_mid", "values")

    def __init__(self) -> None:
        self.limits = [_NOWHERE] * len(BANDS_BP)
        self.reach = _NOWHERE
        """The limit of the widest band: a level from here on concerns none."""
        self.sizes = [0] * len(BANDS_BP)
        self.values = [0] * len(BANDS_BP)
        self.twice_mid: int | None = None
        """What the bands are centred on, in units of 1e-8."""

    def add(self, key: int, difference: int) -> None:
        """Let a level whose size changed by `difference` count in the bands that it is in."""
        limits, sizes, values = self.limits, self.sizes, self.values
        value = difference * key
        for band in _WIDEST_FIRST:
            if key >= limits[band]:
                break  # what is outside a band is outside the narrower ones
            sizes[band] += difference
            values[band] += value

    def centre(
        self, twice_mid: int, direction: int, keys: list[int], sizes: dict[int, int]
    ) -> None:
        """Move the bands to another mid; `keys` (sorted) and `sizes` are the side's levels."""
        if twice_mid == self.twice_mid:
            return
        self.twice_mid = twice_mid
        for band, bp in enumerate(BANDS_BP):
            limit = band_limit(twice_mid, bp, direction)
            before = self.limits[band]
            if limit == before:
                continue
            self.limits[band] = limit
            low, high = (before, limit) if before < limit else (limit, before)
            passed = keys[bisect_left(keys, low) : bisect_left(keys, high)]
            if passed:
                size = sum(sizes[key] for key in passed)
                value = sum(key * sizes[key] for key in passed)
                self.sizes[band] += size if limit > before else -size
                self.values[band] += value if limit > before else -value
        self.reach = self.limits[-1]


def band_limit(twice_mid: int, bp: int, direction: int) -> int:
    """Return the least key outside a band: of p > m(1−x) for bids, of p < m(1+x) for asks.

    With m = twice_mid/2, x = bp/10⁴ and key = direction·p, a level is inside if
    20000·key < twice_mid·(direction·10⁴ + bp).
    """
    return -(-twice_mid * (direction * 10_000 + bp) // 20_000)
