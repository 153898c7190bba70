"""The ten best levels of a side, the sums that are measured of them, and their order flow.

They are brought up to date when they are asked for, and only between the first and the last of the
levels that a message may have changed: most messages change one of them, or something further back.

What is found to have changed is the order flow imbalance (OFI) of one observation, level by level,
in USD units. Cont, Kukanov & Stoikov, "The price impact of order book events" (2014), applied to
the l-th populated level of each side as in Xu, Gould & Howison, "Multi-level order-flow imbalance"
(2018):

    e = 1{Pb ≥ Pb'}·qb − 1{Pb ≤ Pb'}·qb' − 1{Pa ≤ Pa'}·qa + 1{Pa ≥ Pa'}·qa'

where ' is the state before. When the bid falls, what was there is lost: −qb', not −qb. A level that
appears is a rise of its side, one that vanishes a fall.
"""

from __future__ import annotations

from typing import Final

from orderbook.units import NOWHERE, Boxed

_BEST: Final = 1
_FEW: Final = 5
FRONT_LEVELS: Final = 10
LEVELS: Final = (_BEST, _FEW, FRONT_LEVELS)
"""The counts of best levels that are measured; the last is how many are followed."""
FLOW_LEVELS: Final = FRONT_LEVELS
"""The levels whose order flow is summed."""


class TopLevels:
    """Ten levels, best first; where a side has fewer, the key is NOWHERE and the size 0.

    `keys` are those of a side, price · direction. `linear`: values are asked for, too.
    """

    __slots__ = (
        "_direction",
        "_end",
        "_first",
        "_is_new",
        "_linear",
        "_worths",
        "is_best_new",
        "keys",
        "sizes",
        "sums",
        "values",
    )

    def __init__(self, direction: int, *, linear: bool) -> None:
        self.keys = [NOWHERE] * FRONT_LEVELS
        self.sizes = [0] * FRONT_LEVELS
        self.sums = [0] * len(LEVELS)
        """Summed sizes of the best 1, 5 and 10 levels."""
        self.values = [0] * len(LEVELS) if linear else self.sums
        """The same in USD: of size × price for linear instruments, whose sizes are coins."""
        self.is_best_new = True
        """Whether the last `follow` found another best level, or was the first."""
        self._is_new = True
        self._direction = direction
        self._linear = linear
        self._worths = [0] * FRONT_LEVELS
        """Of a linear instrument: key · size of each level."""
        self._first = 0
        """The levels from here on may have changed …"""
        self._end = FRONT_LEVELS
        """… up to here."""

    def note_size(self, level: int) -> None:
        """Note that the size of a level has changed, counted from the best, which is 0."""
        self._first = min(self._first, level)
        self._end = max(self._end, level + 1)

    def note_shift(self, level: int) -> None:
        """Note that a level came or went, which moved all behind it."""
        self._first = min(self._first, level)
        self._end = FRONT_LEVELS

    def follow(self, keys: list[int], sizes: list[int], flow: list[int] | None) -> bool:
        """Take the levels of a side, which end with the best; answer whether any was another.

        Its order flow since the last time is added to `flow`, level by level.
        """
        self.is_best_new = self._is_new
        self._is_new = False
        level, end = self._first, self._end
        if level >= end:
            return False
        self._first, self._end = FRONT_LEVELS, 0
        old_keys: list[Boxed] = self.keys
        old_sizes: list[Boxed] = self.sizes
        new_keys: list[Boxed] = keys
        new_sizes: list[Boxed] = sizes
        is_new = False
        best = few = front = 0
        place = len(keys) - level
        while level < end:
            place -= 1
            new_key: Boxed = new_keys[place] if place >= 0 else NOWHERE
            new_size: Boxed = new_sizes[place] if place >= 0 else 0
            if new_key is old_keys[level] and new_size is old_sizes[level]:
                level += 1
                continue  # the very same objects, as most are
            key: int = new_key
            size: int = new_size
            old_key: int = old_keys[level]
            old_size: int = old_sizes[level]
            growth = size - old_size
            if key != old_key or growth:
                is_new = True
                if flow is not None:
                    self._add_flow(flow, level, old_key, old_size, key, size)
                if level < _BEST:
                    self.is_best_new = True
                    best += growth
                if level < _FEW:
                    few += growth
                front += growth
                if self._linear:
                    self._revalue(level, new_key, new_size)
            old_keys[level] = new_key
            old_sizes[level] = new_size
            level += 1
        if is_new:
            sums = self.sums  # not `+=`, which makes an object of what is added
            if best:
                sums[0] = sums[0] + best
            if few:
                sums[1] = sums[1] + few
            if front:
                sums[2] = sums[2] + front
        return is_new

    def _add_flow(
        self, flow: list[int], level: int, old_key: int, old_size: int, key: int, size: int
    ) -> None:
        """Add the contribution of a level; a lower key is nearer to the other side."""
        if key == old_key:
            change = size - old_size
        elif key < old_key:
            change = size
        else:
            change = -old_size
            key = old_key
        # As the price is key · direction, and a level's growth counts as −direction:
        if self._linear:
            boxed: Boxed = change
            flow[level] -= boxed * key
        elif self._direction > 0:
            flow[level] = flow[level] - change
        else:
            flow[level] = flow[level] + change

    def _revalue(self, level: int, key: Boxed, size: Boxed) -> None:
        """Let the worth of a level, price · size, be another."""
        worths: list[Boxed] = self._worths
        values: list[Boxed] = self.values
        worth = key * size
        growth = worth - worths[level] if self._direction > 0 else worths[level] - worth
        worths[level] = worth
        for place, count in enumerate(LEVELS):
            if level < count:
                values[place] += growth
