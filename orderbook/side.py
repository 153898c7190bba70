"""One side of an order book, written once, with a direction.

Levels are kept by `key = price · direction`, ascending: the best is first on both sides.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import islice
from operator import ge, neg
from typing import Final

from orderbook.bands import Bands
from orderbook.events import Level
from orderbook.front import LEVELS, Front
from orderbook.units import to_record

BID: Final = -1
ASK: Final = 1

_FRONT: Final = LEVELS[-1]
"""Levels of the front: a change further back leaves it as it is."""


class Side:
    """The levels of one side, best first.

    `linear`: sizes are in the base coin, so values (size × price) are summed, too.
    """

    __slots__ = ("_front", "bands", "direction", "keys", "linear", "sizes")

    def __init__(
        self, direction: int, levels: Iterable[Level] = (), *, linear: bool = True
    ) -> None:
        self.direction = direction
        self.linear = linear
        sizes = {price * direction: size for price, size in levels if size > 0}
        self.keys: list[int] = sorted(sizes)
        self.sizes: list[int] = [sizes[key] for key in self.keys]
        """The size at each key."""
        self.bands = Bands(linear=linear)
        self._front: Front | None = None
        """Memo of `front()`."""

    def __len__(self) -> int:
        return len(self.keys)

    def update(self, levels: Iterable[Level]) -> None:
        """Set the size of each given level; 0 removes it, and removing nothing changes nothing."""
        keys, sizes, bands = self.keys, self.sizes, self.bands
        is_ask = self.direction == ASK  # compiled, a product of long numbers is slow
        for price, size in levels:
            key = price if is_ask else -price
            place = bisect_left(keys, key)
            before = sizes[place] if place < len(keys) and keys[place] == key else 0
            if before == size:
                continue
            # The lists are short (hundreds to thousands): an insertion moves 8 bytes a level.
            if not before:
                keys.insert(place, key)
                sizes.insert(place, size)
            elif size:
                sizes[place] = size
            else:
                del keys[place]
                del sizes[place]
            if key < bands.reach:
                bands.add(key, size - before)
            if place < _FRONT:
                self._front = None

    def best(self) -> int | None:
        """Return the best price, or None if the side is empty."""
        return self.keys[0] * self.direction if self.keys else None

    def best_level(self) -> Level | None:
        """Return the best price and its size, or None if the side is empty."""
        if not self.keys:
            return None
        key = self.keys[0]
        return key if self.direction == ASK else -key, self.sizes[0]

    def top(self, count: int) -> list[Level]:
        """Return the best levels, best first; fewer if there are fewer."""
        return list(islice(self.levels(), count))

    def front(self) -> Front:
        """Return the ten best levels and their sums: the same object while they are the same."""
        if self._front is None:
            self._front = Front(
                self.direction, self.keys[:_FRONT], self.sizes[:_FRONT], linear=self.linear
            )
        return self._front

    def near(self, twice_mid: int) -> Bands:
        """Return the sums of the levels in the bands around a mid."""
        self.bands.centre(twice_mid, self.direction, self.keys, self.sizes)
        return self.bands

    def levels(self) -> Iterator[Level]:
        """Iterate over all levels, best first."""
        for key, size in zip(self.keys, self.sizes, strict=True):
            yield key * self.direction, size

    def to_record(self) -> list[int | str]:
        """Return all levels in one list, best first: price, size, price, size, …"""
        # In slices, which is a third of the time of a loop: it is by far the most of a record.
        numbers = [0] * (2 * len(self.keys))
        numbers[::2] = self.keys if self.direction == ASK else map(neg, self.keys)
        numbers[1::2] = self.sizes
        return to_record(numbers)

    def check(self) -> None:
        """Raise ValueError if an invariant is broken: sorted, positive, as many keys as sizes."""
        if len(self.keys) != len(self.sizes):
            raise ValueError("keys and sizes of a side differ")
        if any(map(ge, self.keys, islice(self.keys, 1, None))):
            raise ValueError("the levels of a side are not sorted")
        if self.sizes and min(self.sizes) <= 0:
            raise ValueError("a level has no size")
