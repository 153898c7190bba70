"""The place of a key among the levels of a side, which end with the best, is found by halving.

Most changes are close to the best level, so the levels next to it are looked at before the rest.
Written out because, compiled, a comparison here costs a third of one in `bisect`, which knows
ascending lists only.
"""

from __future__ import annotations

from typing import Final

_NEAR_LEVELS: Final = 16


def place_of(keys: list[int], key: int) -> int:
    """Return the first place whose key is not above this one; `keys` descend."""
    low, high = 0, len(keys)
    near = high - _NEAR_LEVELS
    if near > 0:
        if keys[near] > key:
            low = near + 1
        else:
            high = near
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] > key:
            low = middle + 1
        else:
            high = middle
    return low
