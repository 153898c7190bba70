"""The venue's rate limits: each request costs credits of a pool that refills all the time.

Who has not enough is told 10028 and loses the connection. Pools are per connection here; the real
venue has one per sub-account, and one of unpublished size per address for those without a login.
"""

from dataclasses import dataclass, field

REFILL_PER_S = 10_000


@dataclass(frozen=True, slots=True)
class CallCost:
    """The cost of a call of one class, and how much its pool holds."""

    cost: int
    pool: int


DEFAULT = CallCost(cost=500, pool=50_000)  # a burst of 100 calls, 20/s sustained
INSTRUMENTS = CallCost(cost=10_000, pool=500_000)  # 50, then 1/s
SUBSCRIBE = CallCost(cost=3_000, pool=30_000)  # 10, then 3.3/s
TARIFFS = {
    "public/get_instruments": INSTRUMENTS,
    "public/subscribe": SUBSCRIBE,
    "private/subscribe": SUBSCRIBE,
}


@dataclass(slots=True)
class RateLimit:
    """The pools of one connection."""

    _left: dict[CallCost, float] = field(default_factory=dict)
    _filled_at: dict[CallCost, float] = field(default_factory=dict)

    def pay(self, method: str, now: float) -> bool:
        """Pay for a call; False when the pool has not enough."""
        tariff = TARIFFS.get(method, DEFAULT)
        passed_s = now - self._filled_at.get(tariff, now)
        left = min(tariff.pool, self._left.get(tariff, tariff.pool) + passed_s * REFILL_PER_S)
        self._filled_at[tariff] = now
        self._left[tariff] = left - tariff.cost if left >= tariff.cost else left
        return left >= tariff.cost
