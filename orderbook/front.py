"""The front of a side is its ten best levels with the sums that are measured of them.

It is kept until one of these levels changes: most changes of a deep book are further back.
"""

from __future__ import annotations

from typing import Final

from orderbook.events import Level

LEVELS: Final = (1, 5, 10)
"""The counts of best levels that are measured; the last is how many a front has."""


class Front:
    """At most ten levels, best first; a side with fewer has all of them here."""

    __slots__ = ("_values", "levels", "sizes")

    def __init__(self, levels: list[Level]) -> None:
        self.levels = levels
        sizes = [size for _, size in levels]
        self.sizes = [sum(sizes[:count]) for count in LEVELS]
        """Summed sizes of the best 1, 5 and 10 levels."""
        self._values: list[int] | None = None

    @property
    def values(self) -> list[int]:
        """The same of size × price: the USD of a linear instrument, which alone asks for it."""
        if self._values is None:
            values = [price * size for price, size in self.levels]
            self._values = [sum(values[:count]) for count in LEVELS]
        return self._values
