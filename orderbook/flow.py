"""Order flow imbalance (OFI) of one observation, level by level, in USD units.

Cont, Kukanov & Stoikov, "The price impact of order book events" (2014), applied to the l-th
populated level of each side as in Xu, Gould & Howison, "Multi-level order-flow imbalance" (2018):

    e = 1{Pb ≥ Pb'}·qb − 1{Pb ≤ Pb'}·qb' − 1{Pa ≤ Pa'}·qa + 1{Pa ≥ Pa'}·qa'

where ' is the state before. When the bid falls, what was there is lost: −qb', not −qb.
"""

from __future__ import annotations

from typing import Any, Final

from orderbook.front import LEVELS, Front

FLOW_LEVELS: Final = LEVELS[-1]


def add_side_flow(
    sums: list[int], before: Front, after: Front, direction: int, *, linear: bool
) -> None:
    """Add one side's contribution at each level to `sums`, a list of FLOW_LEVELS numbers.

    `direction` is that of the side: −1 for bids, whose growth pushes up, +1 for asks. A level that
    appears is a rise of the side, one that vanishes a fall. A lower key is nearer to the other
    side.
    """
    # Without a type: compiled, numbers that are only looked at would be unpacked.
    old_keys: list[Any] = before.keys
    old_sizes: list[Any] = before.sizes
    new_keys: list[Any] = after.keys
    new_sizes: list[Any] = after.sizes
    was, now = len(old_keys), len(new_keys)
    both = min(was, now)
    for level in range(max(was, now)):
        if (
            level < both
            and new_keys[level] is old_keys[level]
            and new_sizes[level] is old_sizes[level]
        ):
            continue  # the very same objects, as most are
        if level >= was:
            key, change = new_keys[level], new_sizes[level]
        elif level >= now:
            key, change = old_keys[level], -old_sizes[level]
        else:
            key = old_keys[level]
            new_key = new_keys[level]
            if new_key == key:
                change = new_sizes[level] - old_sizes[level]
            elif new_key < key:
                key, change = new_key, new_sizes[level]
            else:
                change = -old_sizes[level]
        # As the price is key · direction, and a level's growth counts as −direction:
        if linear:
            sums[level] -= change * key
        elif direction > 0:
            sums[level] -= change
        else:
            sums[level] += change
