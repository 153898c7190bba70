"""Assigns instruments to connections: each stays where it is while others come and go.

An instrument that changed its connection would lose its book for a moment, so nothing is evened
out afterwards; what is new goes where there is most room.
"""

from __future__ import annotations

import math
from collections.abc import Mapping


class ConnectionAssignment:
    """Numbers the connections from 0 and gives each instrument one of them."""

    def __init__(self, max_channels: int) -> None:
        self._max_channels = max_channels
        self._places: dict[str, int] = {}

    def place(self, channels: Mapping[str, int]) -> dict[str, int]:
        """Return the connection of each instrument, given how many channels each needs."""
        least = math.ceil(sum(channels.values()) / self._max_channels)
        loads = dict.fromkeys(range(least), 0)
        places: dict[str, int] = {}
        for name, number in self._places.items():
            if name in channels:
                places[name] = number
                loads[number] = loads.get(number, 0) + channels[name]
        for name, count in channels.items():
            if name not in places:
                places[name] = number = self._room(loads, count)
                loads[number] = loads.get(number, 0) + count
        self._places = places
        return dict(places)

    def _room(self, loads: Mapping[int, int], count: int) -> int:
        """Return the emptiest connection if the channels fit, else the first unused number."""
        number = min(loads, key=lambda one: (loads[one], one))
        if loads[number] == 0 or loads[number] + count <= self._max_channels:
            return number  # an instrument with more channels than fit has one for itself
        return next(one for one in range(len(loads) + 1) if one not in loads)
