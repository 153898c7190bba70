"""One side of an order book, written once, with a direction.

Levels are kept by `key = price · direction`, of which the best has the least. The best is the last
on both sides: most levels that come and go are near it, and what stands before them stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from operator import le, neg
from typing import Final

from orderbook.book.depth_bands import Bands
from orderbook.book.search import place_of
from orderbook.book.top_levels import FRONT_LEVELS, TopLevels
from orderbook.events import Level
from orderbook.units import to_record

BID: Final = -1
ASK: Final = 1


class Side:
    """The levels of one side, the best last.

    `linear`: sizes are in the base coin, so values (size × price) are summed, too.
    """

    __slots__ = ("_front", "bands", "direction", "keys", "linear", "sizes")

    def __init__(
        self, direction: int, levels: Iterable[Level] = (), *, linear: bool = True
    ) -> None:
        self.direction = direction
        self.linear = linear
        sizes = {price * direction: size for price, size in levels if size > 0}
        self.keys: list[int] = sorted(sizes, reverse=True)
        self.sizes: list[int] = [sizes[key] for key in self.keys]
        """The size at each key."""
        self.bands = Bands(linear=linear)
        self._front = TopLevels(direction, linear=linear)

    def __len__(self) -> int:
        return len(self.keys)

    def update(self, levels: list[Level]) -> None:
        """Set the size of each given level; 0 removes it, and removing nothing changes nothing."""
        keys, sizes, bands, front = self.keys, self.sizes, self.bands, self._front
        is_ask = self.direction == ASK  # compiled, a product of long numbers is slow
        for price, size in levels:
            key = price if is_ask else -price
            place = place_of(keys, key)
            count = len(keys)
            before = sizes[place] if place < count and keys[place] == key else 0
            if before == size:
                continue
            # The lists are short (hundreds to thousands): an insertion moves 8 bytes a level.
            if not before:
                keys.insert(place, key)
                sizes.insert(place, size)
                level = count - place
                if level < FRONT_LEVELS:
                    front.note_shift(level)
            else:
                level = count - 1 - place
                if size:
                    sizes[place] = size
                    if level < FRONT_LEVELS:
                        front.note_size(level)
                else:
                    del keys[place]
                    del sizes[place]
                    if level < FRONT_LEVELS:
                        front.note_shift(level)
            if key < bands.reach:
                bands.add(key, size - before)

    def best(self) -> int | None:
        """Return the best price, or None if the side is empty."""
        return self.keys[-1] * self.direction if self.keys else None

    def best_level(self) -> Level | None:
        """Return the best price and its size, or None if the side is empty."""
        if not self.keys:
            return None
        key = self.keys[-1]
        return key if self.direction == ASK else -key, self.sizes[-1]

    def top(self, count: int) -> list[Level]:
        """Return the best levels, best first; fewer if there are fewer."""
        return list(islice(self.levels(), count))

    def follow(self, flow: list[int] | None) -> bool:
        """Bring the front up to date; answer whether it has changed since it was last.

        The order flow of that time is added to `flow`: who sums it must be the only one to ask
        while it is summed.
        """
        return self._front.follow(self.keys, self.sizes, flow)

    def front(self) -> TopLevels:
        """Return the ten best levels and their sums."""
        self.follow(None)
        return self._front

    @property
    def known_front(self) -> TopLevels:
        """The front as of the last `follow`."""
        return self._front

    def near(self, twice_mid: int) -> Bands:
        """Return the sums of the levels in the bands around a mid."""
        self.bands.centre(twice_mid, self.direction, self.keys, self.sizes)
        return self.bands

    def levels(self) -> Iterator[Level]:
        """Iterate over all levels, best first."""
        for key, size in zip(reversed(self.keys), reversed(self.sizes), strict=True):
            yield key * self.direction, size

    def to_record(self) -> list[int | str]:
        """Return all levels in one list, best first: price, size, price, size, …"""
        # In slices, which is a third of the time of a loop: it is by far the most of a record.
        numbers = [0] * (2 * len(self.keys))
        keys = reversed(self.keys)
        numbers[::2] = keys if self.direction == ASK else map(neg, keys)
        numbers[1::2] = reversed(self.sizes)
        return to_record(numbers)

    def check(self) -> None:
        """Raise ValueError if an invariant is broken: sorted, positive, as many keys as sizes."""
        if len(self.keys) != len(self.sizes):
            raise ValueError("keys and sizes of a side differ")
        if any(map(le, self.keys, islice(self.keys, 1, None))):
            raise ValueError("the levels of a side are not sorted")
        if self.sizes and min(self.sizes) <= 0:
            raise ValueError("a level has no size")
