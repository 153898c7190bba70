"""The order flow of one instrument: limit, market and cancel orders that arrive at random.

A Poisson stream of orders whose mix depends on the state of the book, in the tradition of Smith,
Farmer, Gillemot & Krishnamurthy (2003, "Statistical theory of the continuous double auction"),
Cont, Stoikov & Talreja (2010, "A stochastic model for order book dynamics") and, for the lean,
the queue-reactive model of Huang, Lehalle & Rosenbaum (2015):
where the bid queue is heavier than the ask queue, buyers take more, bids are placed more and asks
are withdrawn more. So the imbalance moves the price, and the price moves by orders alone.
A weak pull towards the starting price keeps a run of days within a few per cent.

Everything is drawn from one generator of the instrument's own, so the flow is a function of
(seed, instrument, venue time) and of nothing else.
"""

from math import log, tanh
from random import Random
from typing import NamedTuple

from exchange.engine import Book, Direction, Fill, Side
from exchange.instruments import Instrument

MARKET_SHARE = 0.04
MOVE_SHARE = 0.30  # a maker pulls a level and posts another: most news of a real feed is post/pull
NEAR_SHARE = 0.55  # orders and withdrawals around the touch; the rest is anywhere in the book
NEAR_TICKS = 2.5
REACH_TICKS_PER_LEVEL = 5  # how far the book reaches, relative to its number of levels
MAX_SWEEP_LEVELS = 5
MIN_LEVELS = 2 * MAX_SWEEP_LEVELS  # fewer are not withdrawn, so that no side runs empty
PULL_SCALE = 0.01  # log distance from the starting price at which the pull back is near its full
LIQUIDATION_SHARE = 0.01
ROUND_SHARE = 0.35  # people like round numbers


class Taken(NamedTuple):
    """A market order that found something: direction of the taker, and what it got."""

    direction: Direction
    fills: list[Fill]
    liquidation: bool


class OrderFlow:
    """Decides the next order and carries it out on the book."""

    __slots__ = ("_instrument", "_log_start", "_random", "_reach", "events_per_s")

    def __init__(self, instrument: Instrument, seed: int, events_per_s: float) -> None:
        self._instrument = instrument
        self._random = Random(f"{seed}/{instrument.name}")
        self._reach = REACH_TICKS_PER_LEVEL * instrument.levels
        self._log_start = log(instrument.start_tick)
        self.events_per_s = events_per_s

    def wait_us(self) -> int:
        """Time until the next order."""
        return 1 + int(self._random.expovariate(self.events_per_s) * 1_000_000)

    def open(self, book: Book) -> None:
        """Fill the book as a venue finds it at its start: dense at the touch, thin far away."""
        start = self._instrument.start_tick
        for direction in _BOTH:
            side = book.side(direction)
            while len(side) < self._instrument.levels:
                # The first bid is one tick below the start and the first ask on it.
                offset = self._far_ticks() + (direction == 1)
                book.limit(direction, start - direction * offset, self._lots())

    def act(self, book: Book) -> Taken | None:
        """One order."""
        draw = self._random.random()
        if draw < MARKET_SHARE:
            return self._take(book)
        if draw < MARKET_SHARE + MOVE_SHARE:
            direction: Direction = 1 if self._random.random() < 0.5 else -1
            self._withdraw(book, direction)
            self._post(book, direction)
            return None
        bids, asks = len(book.bids), len(book.asks)
        fullness = (bids + asks) / (2 * self._instrument.levels)
        imbalance = top_imbalance(book)
        if self._random.random() < 0.45 * fullness**2:
            # Where bids are heavier, asks are withdrawn more.
            self._withdraw(book, self._lean(bids / (bids + asks) - 0.15 * imbalance))
        else:
            self._post(book, self._lean(asks / (bids + asks) + 0.15 * imbalance))
        return None

    def _take(self, book: Book) -> Taken | None:
        bid, ask = book.bids.price_at(0), book.asks.price_at(0)
        distance = log((bid + ask) / 2) - self._log_start
        chance = 0.5 + 0.35 * top_imbalance(book) - 0.3 * tanh(distance / PULL_SCALE)
        direction = self._lean(chance)
        opposite = book.asks if direction == 1 else book.bids
        if len(opposite) <= MIN_LEVELS:
            return None
        if self._random.random() < 0.5:
            best = opposite.sizes[opposite.price_at(0)]
            lots = max(1, int(best * (0.2 + 0.8 * self._random.random())))
        else:
            lots = 2 * self._lots()
        fills = book.market(direction, lots, MAX_SWEEP_LEVELS)
        return Taken(direction, fills, self._random.random() < LIQUIDATION_SHARE)

    def _post(self, book: Book, direction: Direction) -> None:
        """A limit order that rests: at least one tick from the other side's best."""
        best = book.side(_OTHER[direction]).price_at(0)
        near = self._random.random() < NEAR_SHARE
        ticks = int(self._random.expovariate(1 / NEAR_TICKS)) if near else self._far_ticks()
        price = best - direction * (1 + ticks)
        if price > 0:
            book.limit(direction, price, self._lots())

    def _withdraw(self, book: Book, direction: Direction) -> None:
        side: Side = book.side(direction)
        levels = len(side)
        if levels <= MIN_LEVELS:
            return
        if self._random.random() < NEAR_SHARE:
            rank = min(int(self._random.expovariate(1 / NEAR_TICKS)), levels - 1)
        else:
            rank = int(self._random.random() * levels)
        price = side.price_at(rank)
        lots = side.sizes[price]
        if self._random.random() < 0.2:
            lots = 1 + lots // 3
        book.cancel(direction, price, lots)

    def _far_ticks(self) -> int:
        return int(self._reach * self._random.random() ** 2)

    def _lots(self) -> int:
        lots = max(1, int(self._instrument.typical_lots * self._random.lognormvariate(-0.5, 1.2)))
        if self._random.random() < ROUND_SHARE:
            unit = int(10 ** (len(str(lots)) - 1))
            lots -= lots % unit
        return lots

    def _lean(self, chance_of_bid: float) -> Direction:
        """The side drawn with that chance, which never becomes a certainty."""
        return 1 if self._random.random() < min(0.97, max(0.03, chance_of_bid)) else -1


def top_imbalance(book: Book) -> float:
    """(bid size − ask size) / (bid size + ask size) of the best levels; 0 with a side empty."""
    bid, ask = book.bids.best_lots, book.asks.best_lots
    return (bid - ask) / (bid + ask) if bid and ask else 0.0


_BOTH: tuple[Direction, Direction] = (1, -1)
_OTHER: dict[Direction, Direction] = {1: -1, -1: 1}
