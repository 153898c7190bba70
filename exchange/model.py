"""The modelled venue: every instrument's order flow, advanced in steps of venue time.

The state after n steps is a function of (seed, instruments, rate, tick, start, n): the wall clock
only decides when a step is made. All notifications of a step leave when it ends.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from heapq import heapify, heappush, heapreplace
from math import isinf
from zlib import crc32

from exchange.channels import Channel
from exchange.config import STEP_US, Config
from exchange.hub import Hub
from exchange.instruments import catalogue, describe
from exchange.market import Market
from exchange.platform import Platform
from exchange.publisher import Publisher
from exchange.rates import order_rates
from exchange.truth import Truth
from exchange.venue import Fields

AGG2_MS = 1_000
MAX_STEPS_PER_TURN = 20  # then the sockets get their turn, even if the model is late
LATE_US = 1_000_000  # of venue time: said once when it starts and once when it ends
FIRST_CHANGE_ID = {True: 118_850_968_930, False: 78_450_355_264}  # inverse books share a counter
FIRST_TRADE_ID = 267_258_393
LISTING_STATES = ("created", "started", "open")
DELISTED = "archivized"


class Model:
    """A venue (venue.py) whose market is simulated."""

    def __init__(self, config: Config, hub: Hub, truth: Truth) -> None:
        self._config = config
        self._hub = hub
        self._truth = truth
        self.platform = Platform(hub)
        self._teller = Publisher(hub, truth, lambda: self._now_us)
        self._speed = config.speed
        self._steps = 0
        self._follows_wall_clock = config.start_ms is None and config.speed == 1
        self._now_us = _wall_us() if config.start_ms is None else config.start_ms * 1_000
        self._turn_at = time.monotonic()
        self._change_ids = dict(FIRST_CHANGE_ID)
        self._trade_ids: dict[str, int] = {}
        listed = catalogue(config.instruments)
        rates = order_rates(listed, config.rate, config.tick_ms)
        self._markets = [
            Market(instrument, config.seed, events_per_s, self._now_us)
            for instrument, events_per_s in zip(listed, rates, strict=True)
        ]
        self._by_name = {market.instrument.name: market for market in self._markets}
        self._agenda = [
            (self._now_us + market.flow.wait_us(), index)
            for index, market in enumerate(self._markets)
        ]
        heapify(self._agenda)
        self._ticks: dict[str, list[list[Market]]] = {
            "100ms": [[] for _ in range(config.tick_ms * 1_000 // STEP_US)],
            "agg2": [[] for _ in range(AGG2_MS * 1_000 // STEP_US)],
        }
        for market in self._markets:
            self._open(market)

    def now_us(self) -> int:
        if isinf(self._speed):
            return self._now_us
        # Between two steps the clock moves on, but not beyond what the next one will say.
        passed_us = int((time.monotonic() - self._turn_at) * self._speed * 1_000_000)
        return self._now_us + min(passed_us, STEP_US - 1)

    def instruments(self) -> Sequence[Fields]:
        return [describe(market.instrument, market.state) for market in self._by_name.values()]

    def delisted(self) -> Sequence[Fields]:
        return [
            describe(market.instrument, market.state)
            for market in self._markets
            if market.state == DELISTED
        ]

    def state(self, instrument: str) -> str | None:
        market = self._by_name.get(instrument)
        return market.state if market else None

    def set_state(self, instrument: str, state: str) -> None:
        self._set_state(self._by_name[instrument], state)

    def list_next(self) -> str:
        """List one more instrument, the next of the catalogue; returns its name."""
        count = len(self._markets) + 1
        listed = catalogue(count)
        rate = order_rates(listed, self._config.rate, self._config.tick_ms)[-1]
        market = Market(listed[-1], self._config.seed, rate, self._now_us)
        self._markets.append(market)
        self._by_name[market.instrument.name] = market
        heappush(self._agenda, (self._now_us + market.flow.wait_us(), count - 1))
        self._open(market)
        for state in LISTING_STATES:
            self._set_state(market, state)
        return market.instrument.name

    def delist(self, instrument: str) -> None:
        """Close an instrument for good: no list, no call and no channel knows it any more."""
        market = self._by_name[instrument]
        for state in ("closed", DELISTED):
            self._set_state(market, state)
        del self._by_name[instrument]
        for ticks in self._ticks.values():
            for markets in ticks:
                if market in markets:
                    markets.remove(market)

    def restart_ids(self) -> None:
        """Begin anew with lower ids, as an engine may after its restart: each book is told whole.

        Counters are halved, so the ids stay unlike all of the last run.
        """
        for counter in self._change_ids:
            self._change_ids[counter] //= 2
        for market in self._by_name.values():
            market.restart(self._next_change_id(market))
            self._teller.tell_whole(market)

    def _open(self, market: Market) -> None:
        """Let a market take part: its chains begin, and its ticks come."""
        market.start_chains(self._next_change_id(market))
        self._teller.note_listed(market)
        for rounds in self._ticks.values():
            # By name, so that the load is even over the steps of a round.
            rounds[crc32(market.instrument.name.encode()) % len(rounds)].append(market)

    def order_book(self, instrument: str, depth: int) -> Fields:
        return self._by_name[instrument].order_book(depth)

    def offers(self, channel: Channel) -> bool:
        if channel.topic == "other":
            return False
        return not channel.instrument or channel.instrument in self._by_name

    def opening(self, channel: Channel) -> str | None:
        if channel.topic in ("platform", "platform methods"):
            return self.platform.opening(channel)
        market = self._by_name.get(channel.instrument)
        return self._teller.opening(channel, market) if market else None

    async def run(self) -> None:
        # Opening the markets has taken a while: who follows the wall clock makes up for that.
        begin = self._turn_at if self._follows_wall_clock else time.monotonic()
        late = False
        while True:
            passed_us = (time.monotonic() - begin) * 1_000_000
            due = float("inf") if isinf(self._speed) else int(passed_us * self._speed / STEP_US)
            for _ in range(int(min(due - self._steps, MAX_STEPS_PER_TURN))):
                self.step()
            self._truth.flush()
            if isinf(self._speed):
                await self._hub.drained()
                await asyncio.sleep(0)
                continue
            behind_us = (due - self._steps) * STEP_US
            if late != (behind_us > LATE_US):
                late = not late
                _say_late(late, behind_us)
            wait_us = (self._steps + 1) * STEP_US / self._speed - passed_us
            await asyncio.sleep(max(0.0, wait_us / 1_000_000))

    def step(self) -> None:
        """Let one step of venue time pass, and tell what came of it."""
        end_us = self._now_us + STEP_US
        agenda, markets = self._agenda, self._markets
        touched: dict[int, None] = {}
        while agenda[0][0] < end_us:
            at_us, index = agenda[0]
            market = markets[index]
            heapreplace(agenda, (at_us + market.flow.wait_us(), index))
            if market.state == "open" and not self.platform.is_locked:
                self._act(market, at_us)
                touched[index] = None
        self._now_us = end_us
        self._turn_at = time.monotonic()
        tell = self._teller.tell
        self._teller.watch()
        for index in touched:
            tell(markets[index], "raw", self._steps)
        if self._steps % (AGG2_MS * 1_000 // STEP_US) == 0:
            self.platform.tell(markets[0].instrument.index_name)
        for interval, ticks in self._ticks.items():
            for market in ticks[self._steps % len(ticks)]:
                if interval == "agg2":
                    market.pass_second()
                tell(market, interval, self._steps)
        self._steps += 1

    def _set_state(self, market: Market, state: str) -> None:
        market.set_state(state)
        self._teller.announce(market, self.now_us())

    def _act(self, market: Market, at_us: int) -> None:
        settlement = market.instrument.settlement
        trade_id = self._trade_ids.get(settlement, FIRST_TRADE_ID)
        trades = market.act(at_us, self._next_change_id(market), trade_id)
        self._trade_ids[settlement] = trade_id + trades

    def _next_change_id(self, market: Market) -> int:
        self._change_ids[market.instrument.inverse] += 1
        return self._change_ids[market.instrument.inverse]


def _wall_us() -> int:
    """Return the wall clock, µs since the epoch."""
    return time.time_ns() // 1_000


def _say_late(late: bool, behind_us: float) -> None:
    if late:
        text = (
            f"the model is {behind_us / 1e6:.1f} s late: more --rate or --speed than it can carry"
        )
    else:
        text = "the model is on time again"
    print(f"exchange: {text}", file=sys.stderr, flush=True)
