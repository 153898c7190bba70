"""The front of a side is its ten best levels with the sums that are measured of them.

It is kept until one of these levels changes: most changes of a deep book are further back.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from orderbook.events import Level

LEVELS: Final = (1, 5, 10)
"""The counts of best levels that are measured; the last is how many a front has."""


class Front(NamedTuple):
    """At most ten levels, best first; a side with fewer has all of them here."""

    levels: list[Level]
    sizes: list[int]
    """Summed sizes of the best 1, 5 and 10 levels."""
    values: list[int]
    """The same of size × price: the USD of a linear instrument."""


def front_of(levels: list[Level]) -> Front:
    """Return the front that consists of these levels."""
    sizes = [size for _, size in levels]
    values = [price * size for price, size in levels]
    return Front(
        levels,
        [sum(sizes[:count]) for count in LEVELS],
        [sum(values[:count]) for count in LEVELS],
    )
