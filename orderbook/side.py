"""One side of an order book, written once, with a direction.

Levels are kept under `key = price · direction`, ascending: the best is first on both sides.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from operator import neg
from typing import Final

from orderbook.bands import Bands
from orderbook.events import Level
from orderbook.front import LEVELS, Front
from orderbook.units import to_record

BID: Final = -1
ASK: Final = 1

_ANYWHERE: Final = 10**32
"""Above every key."""


class Side:
    """The levels of one side, best first.

    `linear`: sizes are in the base coin, so values (size × price) are summed, too.
    """

    __slots__ = ("_front", "_front_reach", "bands", "direction", "keys", "linear", "sizes")

    def __init__(
        self, direction: int, levels: Iterable[Level] = (), *, linear: bool = True
    ) -> None:
        self.direction = direction
        self.linear = linear
        self.sizes: dict[int, int] = {price * direction: size for price, size in levels if size > 0}
        self.keys: list[int] = sorted(self.sizes)
        self.bands = Bands(linear=linear)
        self._front: Front | None = None
        """Memo of `front()`."""
        self._front_reach = _ANYWHERE
        """The key of its last level: a change up to there makes another front."""

    def __len__(self) -> int:
        return len(self.keys)

    def update(self, levels: Iterable[Level]) -> None:
        """Set the size of each given level; 0 removes it, and removing nothing changes nothing."""
        keys, sizes, bands = self.keys, self.sizes, self.bands
        is_ask = self.direction == ASK  # compiled, a product of long numbers is slow
        for price, size in levels:
            key = price if is_ask else -price
            before = sizes.get(key, 0)
            if size:
                if not before:
                    # The lists are short (hundreds to thousands): inserting moves 8 bytes a level.
                    keys.insert(bisect_left(keys, key), key)
                sizes[key] = size
            elif before:
                del sizes[key]
                del keys[bisect_left(keys, key)]
            if key < bands.reach:
                bands.add(key, size - before)
            if key <= self._front_reach:
                self._front = None

    def best(self) -> int | None:
        """Return the best price, or None if the side is empty."""
        return self.keys[0] * self.direction if self.keys else None

    def best_level(self) -> Level | None:
        """Return the best price and its size, or None if the side is empty."""
        if not self.keys:
            return None
        key = self.keys[0]
        return key if self.direction == ASK else -key, self.sizes[key]

    def top(self, count: int) -> list[Level]:
        """Return the best levels, best first; fewer if there are fewer."""
        sizes, direction = self.sizes, self.direction
        return [(key * direction, sizes[key]) for key in self.keys[:count]]

    def front(self) -> Front:
        """Return the ten best levels and their sums: the same object while they are the same."""
        if self._front is None:
            count = LEVELS[-1]
            keys, sizes = self.keys[:count], self.sizes
            # map() keeps the numbers as objects: compiled, a loop would take them apart and back.
            self._front = Front(
                self.direction, keys, list(map(sizes.__getitem__, keys)), linear=self.linear
            )
            self._front_reach = keys[count - 1] if len(keys) == count else _ANYWHERE
        return self._front

    def near(self, twice_mid: int) -> Bands:
        """Return the sums of the levels in the bands around a mid."""
        self.bands.centre(twice_mid, self.direction, self.keys, self.sizes)
        return self.bands

    def levels(self) -> Iterator[Level]:
        """Iterate over all levels, best first."""
        return ((key * self.direction, self.sizes[key]) for key in self.keys)

    def to_record(self) -> list[int | str]:
        """Return all levels in one list, best first: price, size, price, size, …"""
        # In slices, which is a third of the time of a loop: it is by far the most of a record.
        numbers = [0] * (2 * len(self.keys))
        numbers[::2] = self.keys if self.direction == ASK else map(neg, self.keys)
        numbers[1::2] = map(self.sizes.__getitem__, self.keys)
        return to_record(numbers)

    def check(self) -> None:
        """Raise ValueError if an invariant is broken: sorted, positive, keys and sizes alike."""
        if sorted(self.sizes) != self.keys:
            raise ValueError("keys and sizes of a side differ, or they are not sorted")
        if self.sizes and min(self.sizes.values()) <= 0:
            raise ValueError("a level has no size")
