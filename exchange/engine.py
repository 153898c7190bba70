"""The matching engine of one instrument: a price-time book of aggregated levels.

Prices are integer ticks, sizes integer lots. Within a level orders are served first come, first
served, but as nobody's own order is followed, the sum of a level is all that must be kept.
Invariants: sides sorted, no level of size zero, best bid below best ask, and
lots placed = lots resting + lots cancelled + lots traded (a trade consumes only the maker's lots).
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Direction = Literal[1, -1]  # 1 = bid or buy, -1 = ask or sell
Pending = dict[int, int]  # price → size before the first change that is not yet told


class Fill(NamedTuple):
    """One level's part of a trade."""

    price: int
    lots: int


@dataclass(slots=True)
class Conservation:
    """Counts all that ever went in and out of the book."""

    placed: int = 0
    cancelled: int = 0
    traded: int = 0


class Side:
    """One side, best level last: its key is `direction * price`, so that bigger is better."""

    __slots__ = ("_keys", "direction", "listeners", "sizes")

    def __init__(self, direction: Direction) -> None:
        self.direction = direction
        self.sizes: dict[int, int] = {}
        self.listeners: list[Pending] = []
        self._keys: list[int] = []

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def best(self) -> int | None:
        """The best price, None when the side is empty."""
        return self._keys[-1] * self.direction if self._keys else None

    @property
    def best_lots(self) -> int:
        """The size of the best level, 0 when the side is empty."""
        return self.sizes[self._keys[-1] * self.direction] if self._keys else 0

    def best_within(self, worst: int) -> int | None:
        """The best price, None when the side is empty or its best is worse than `worst`."""
        direction = self.direction
        if self._keys and self._keys[-1] >= worst * direction:
            return self._keys[-1] * direction
        return None

    def price_at(self, rank: int) -> int:
        """The price of the level of that rank; rank 0 is the best."""
        return self._keys[-1 - rank] * self.direction

    def top(self, depth: int) -> list[tuple[int, int]]:
        """The best `depth` levels as (price, lots), best first."""
        sizes, direction = self.sizes, self.direction
        keys = self._keys[-depth:] if depth < len(self._keys) else self._keys
        return [(key * direction, sizes[key * direction]) for key in reversed(keys)]

    def set(self, price: int, lots: int) -> None:
        """Make the level that size; each listener keeps the size it last knew."""
        before = self.sizes.get(price, 0)
        if lots == before:
            return
        for pending in self.listeners:
            if price not in pending:
                pending[price] = before
        if lots == 0:
            del self.sizes[price]
            keys, key = self._keys, price * self.direction
            if keys[-1] == key:
                keys.pop()
            else:
                del keys[bisect_left(keys, key)]
            return
        self.sizes[price] = lots
        if before == 0:
            insort(self._keys, price * self.direction)


class Book:
    """Bids and asks of one instrument, and the id of the last event that changed them."""

    __slots__ = ("asks", "bids", "change_id", "conservation", "timestamp_ms")

    def __init__(self) -> None:
        self.bids = Side(1)
        self.asks = Side(-1)
        self.change_id = 0
        self.timestamp_ms = 0
        self.conservation = Conservation()

    def side(self, direction: Direction) -> Side:
        return self.bids if direction == 1 else self.asks

    def listen(self, bids: Pending, asks: Pending) -> None:
        """From now on, note what each level was before it changed."""
        self.bids.listeners.append(bids)
        self.asks.listeners.append(asks)

    def limit(self, direction: Direction, price: int, lots: int) -> list[Fill]:
        """A limit order: what crosses is traded, the rest is placed."""
        _refuse_nothing(lots)
        side, opposite = self._sides(direction)
        fills = self._take(opposite, lots, price)
        rest = lots - sum(fill.lots for fill in fills) if fills else lots
        if rest:
            side.set(price, side.sizes.get(price, 0) + rest)
            self.conservation.placed += rest
        return fills

    def market(self, direction: Direction, lots: int, max_levels: int) -> list[Fill]:
        """A market order that stops after `max_levels` levels; what is left then is dropped."""
        _refuse_nothing(lots)
        _, opposite = self._sides(direction)
        if not opposite:
            return []
        worst = opposite.price_at(min(max_levels, len(opposite)) - 1)
        return self._take(opposite, lots, worst)

    def cancel(self, direction: Direction, price: int, lots: int) -> int:
        """Withdraw up to that many lots of a level; returns how many were there."""
        _refuse_nothing(lots)
        side = self.side(direction)
        resting = side.sizes.get(price, 0)
        withdrawn = min(lots, resting)
        if withdrawn:
            side.set(price, resting - withdrawn)
            self.conservation.cancelled += withdrawn
        return withdrawn

    def _sides(self, direction: Direction) -> tuple[Side, Side]:
        """The side where an order of that direction rests, and the one that it takes from."""
        return (self.bids, self.asks) if direction == 1 else (self.asks, self.bids)

    def _take(self, opposite: Side, lots: int, worst: int) -> list[Fill]:
        fills: list[Fill] = []
        while lots and (price := opposite.best_within(worst)) is not None:
            resting = opposite.sizes[price]
            traded = min(lots, resting)
            opposite.set(price, resting - traded)
            fills.append(Fill(price, traded))
            lots -= traded
            self.conservation.traded += traded
        return fills

    def check(self) -> None:
        """Assert the invariants of the module's first lines."""
        resting = 0
        for side in (self.bids, self.asks):
            prices: Sequence[int] = [price for price, _ in side.top(len(side))]
            assert list(prices) == sorted(side.sizes, reverse=side.direction == 1), "not sorted"
            assert all(lots > 0 for lots in side.sizes.values()), "a level without size"
            resting += sum(side.sizes.values())
        if self.bids and self.asks:
            assert self.bids.price_at(0) < self.asks.price_at(0), "crossed"
        account = self.conservation
        assert account.placed == resting + account.cancelled + account.traded, "lots lost"


def _refuse_nothing(lots: int) -> None:
    if lots <= 0:
        raise ValueError(f"an order of {lots} lots; at least 1 needed")
