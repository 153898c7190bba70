"""Rates of the instruments, so that all together have the rate that was asked for."""

from collections.abc import Sequence
from math import log

from exchange.instruments import Instrument

FULL_TICK = 0.98  # an instrument never has news in more than this share of its ticks


def order_rates(instruments: Sequence[Instrument], rate: float, tick_ms: int) -> list[float]:
    """Orders/s of each instrument so that their 100ms book channels together have `rate` news/s.

    Orders come at random (Poisson), so a tick has news with 1 − exp(−orders in a tick). The news
    are shared out by weight; what an instrument cannot take, the others get.
    """
    ticks_per_s = 1_000 / tick_ms
    shares = [0.0] * len(instruments)
    free = set(range(len(instruments)))
    left = min(rate / ticks_per_s, FULL_TICK * len(instruments))
    while free:
        weight = sum(instruments[i].weight for i in free)
        full = {i for i in free if left * instruments[i].weight / weight >= FULL_TICK}
        if not full:
            for i in free:
                shares[i] = left * instruments[i].weight / weight
            break
        for i in full:
            shares[i] = FULL_TICK
        left -= FULL_TICK * len(full)
        free -= full
    return [-log(1 - share) * ticks_per_s for share in shares]
