"""The front of a side is its ten best levels with the sums that are measured of them.

It is kept until one of these levels changes: most changes of a deep book are further back.
"""

from __future__ import annotations

from operator import mul
from typing import Final

LEVELS: Final = (1, 5, 10)
"""The counts of best levels that are measured; the last is how many a front has."""


class Front:
    """At most ten levels, best first; a side with fewer has all of them here.

    `keys` are those of a side, price · direction. `linear`: values are asked for, too.
    """

    __slots__ = ("keys", "sizes", "sums", "values")

    def __init__(self, direction: int, keys: list[int], sizes: list[int], *, linear: bool) -> None:
        self.keys = keys
        self.sizes = sizes
        self.sums = sums_of(sizes)
        """Summed sizes of the best 1, 5 and 10 levels."""
        self.values = self.sums
        """The same in USD: of size × price for linear instruments, whose sizes are coins."""
        if linear:
            values = sums_of(list(map(mul, keys, sizes)))
            self.values = values if direction > 0 else [-each for each in values]


def sums_of(numbers: list[int]) -> list[int]:
    """Return the sums of the first 1, 5 and 10 numbers; of fewer, if there are fewer."""
    sums = []
    total = done = 0
    for count in LEVELS:
        for place in range(done, min(count, len(numbers))):
            total += numbers[place]
        done = count
        sums.append(total)
    return sums
