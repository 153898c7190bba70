"""Order flow imbalance (OFI) of one observation, level by level, in USD units.

Cont, Kukanov & Stoikov, "The price impact of order book events" (2014), applied to the l-th
populated level of each side as in Xu, Gould & Howison, "Multi-level order-flow imbalance" (2018):

    e = 1{Pb ≥ Pb'}·qb − 1{Pb ≤ Pb'}·qb' − 1{Pa ≤ Pa'}·qa + 1{Pa ≥ Pa'}·qa'

where ' is the state before. When the bid falls, what was there is lost: −qb', not −qb. A level that
appears is a rise of its side, one that vanishes a fall. It is summed where the levels that changed
are known (front.py).
"""

from __future__ import annotations

from typing import Final

from orderbook.book.top_levels import FRONT_LEVELS

FLOW_LEVELS: Final = FRONT_LEVELS
