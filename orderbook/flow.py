"""Order flow imbalance (OFI) of one observation, level by level, in USD units.

Cont, Kukanov & Stoikov, "The price impact of order book events" (2014), applied to the l-th
populated level of each side as in Xu, Gould & Howison, "Multi-level order-flow imbalance" (2018):

    e = 1{Pb ≥ Pb'}·qb − 1{Pb ≤ Pb'}·qb' − 1{Pa ≤ Pa'}·qa + 1{Pa ≥ Pa'}·qa'

where ' is the state before. When the bid falls, what was there is lost: −qb', not −qb.
"""

from __future__ import annotations

from typing import Final

from orderbook.events import Level
from orderbook.front import LEVELS

FLOW_LEVELS: Final = LEVELS[-1]


def add_side_flow(
    sums: list[int], before: list[Level], after: list[Level], direction: int, *, linear: bool
) -> None:
    """Add one side's contribution at each level to `sums`, a list of FLOW_LEVELS numbers.

    `before` and `after` are the best levels of the side, `direction` is that of the side: −1 for
    bids, whose growth pushes up, +1 for asks. A level that appears is a rise of the side, one that
    vanishes a fall.
    """
    sign = -direction
    was, now = len(before), len(after)
    for level in range(now if now > was else was):
        if level >= was:
            price, size = after[level]
            change = size * price if linear else size
        elif level >= now:
            price, size = before[level]
            change = -size * price if linear else -size
        else:
            old = before[level]
            new = after[level]
            if old == new:
                continue
            if new[0] == old[0]:
                change = (new[1] - old[1]) * new[0] if linear else new[1] - old[1]
            elif (new[0] < old[0]) == (direction > 0):  # nearer to the other side
                change = new[1] * new[0] if linear else new[1]
            else:
                change = -old[1] * old[0] if linear else -old[1]
        sums[level] += sign * change
