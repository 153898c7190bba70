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

from exchange.channels import Channel, notification, parse_channel
from exchange.config import STEP_US, Config
from exchange.hub import Hub
from exchange.instruments import Instrument, catalogue, describe
from exchange.market import Market
from exchange.numbers import encode
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
PUBLIC_METHODS_STATE = '{"allow_unauthenticated_public_requests":true}'


class Model:
    """A venue (venue.py) whose market is simulated."""

    def __init__(self, config: Config, hub: Hub, truth: Truth) -> None:
        self._config = config
        self._hub = hub
        self._truth = truth
        self._is_locked = False
        self._speed = config.speed
        self._steps = 0
        self._start_us = self._now_us = config.start_ms * 1_000
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
        self._told: dict[str, tuple[int, str]] = {}  # channel of state → version, what decided
        self._watched: dict[tuple[str, str], list[Channel]] = {}
        self._watched_version = -1
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
        self._by_name[instrument].set_state(state)
        self._announce(self._by_name[instrument])

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
            market.set_state(state)
            self._announce(market)
        return market.instrument.name

    def delist(self, instrument: str) -> None:
        """Close an instrument for good: no list, no call and no channel knows it any more."""
        market = self._by_name[instrument]
        for state in ("closed", DELISTED):
            market.set_state(state)
            self._announce(market)
        del self._by_name[instrument]
        for ticks in self._ticks.values():
            for markets in ticks:
                if market in markets:
                    markets.remove(market)

    def lock(self, locked: bool) -> None:
        """Begin or end maintenance: nothing is traded, and everybody is told."""
        self._is_locked = locked
        channel = "platform_state"
        self._hub.publish(channel, notification(channel, encode({"maintenance": locked})))

    @property
    def is_locked(self) -> bool:
        return self._is_locked

    def restart_ids(self) -> None:
        """Begin anew with lower ids, as an engine may after its restart: each book is told whole.

        Counters are halved, so the ids stay unlike all of the last run.
        """
        for counter in self._change_ids:
            self._change_ids[counter] //= 2
        for market in self._by_name.values():
            market.restart(self._next_change_id(market))
            for chain in market.chains.values():
                self._publish(chain.channel, chain.snapshot())

    def _open(self, market: Market) -> None:
        """Let a market take part: its chains begin, and its ticks come."""
        market.start_chains(self._next_change_id(market))
        for chain in market.chains.values():
            self._truth.write(self._now_us * 1_000, chain.snapshot())
        for rounds in self._ticks.values():
            # By name, so that the load is even over the steps of a round.
            rounds[crc32(market.instrument.name.encode()) % len(rounds)].append(market)

    def _announce(self, market: Market) -> None:
        fields = {
            "timestamp": self.now_us() // 1_000,
            "state": market.state,
            "instrument_name": market.instrument.name,
        }
        for scope in _scopes(market.instrument):
            channel = f"instrument.state.{scope}"
            self._hub.publish(channel, notification(channel, encode(fields)))

    def order_book(self, instrument: str, depth: int) -> Fields:
        return self._by_name[instrument].order_book(depth)

    def offers(self, channel: Channel) -> bool:
        if channel.topic == "other":
            return False
        return not channel.instrument or channel.instrument in self._by_name

    def opening(self, channel: Channel) -> str | None:
        match channel.topic:
            case "book":
                return self._by_name[channel.instrument].chains[channel.interval].snapshot()
            case "grouped" | "ticker" | "perpetual" | "quote":
                market = self._by_name[channel.instrument]
                decides, data = market.render(channel)
                # The first follower has now been told; for others the next tick decides.
                self._told.setdefault(channel.name, (market.version, decides))
                return notification(channel.name, data)
            case "platform":
                locked = "true" if self._is_locked else "false"
                return notification(channel.name, encode({"locked": locked}))
            case "platform methods":
                return notification(channel.name, PUBLIC_METHODS_STATE)
        return None

    async def run(self) -> None:
        begin = time.monotonic()
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
            if market.state == "open" and not self._is_locked:
                self._act(market, at_us)
                touched[index] = None
        self._now_us = end_us
        self._turn_at = time.monotonic()
        self._watch()
        for index in touched:
            self._tell(markets[index], "raw")
        if self._steps % (AGG2_MS * 1_000 // STEP_US) == 0:
            self._tell_platform()
        for interval, ticks in self._ticks.items():
            for market in ticks[self._steps % len(ticks)]:
                if interval == "agg2":
                    market.pass_second()
                self._tell(market, interval)
        self._steps += 1

    def _act(self, market: Market, at_us: int) -> None:
        settlement = market.instrument.settlement
        trade_id = self._trade_ids.get(settlement, FIRST_TRADE_ID)
        trades = market.act(at_us, self._next_change_id(market), trade_id)
        self._trade_ids[settlement] = trade_id + trades

    def _next_change_id(self, market: Market) -> int:
        self._change_ids[market.instrument.inverse] += 1
        return self._change_ids[market.instrument.inverse]

    def _tell(self, market: Market, interval: str) -> None:
        """Publish what is new on the instrument's channels of that interval."""
        live = self._hub.live
        is_ahead = interval == "100ms" and self._runs_ahead(market)
        if is_ahead:
            self._tell_state(market, interval)
        chain = market.chains[interval]
        text = chain.flush(self._truth.wanted or chain.channel in live)
        if text:
            self._publish(chain.channel, text)
        trades = market.tape.pending.get(interval)
        if trades:
            self._tell_trades(market.instrument, interval, trades)
            trades.clear()
        if not is_ahead:
            self._tell_state(market, interval)

    def _runs_ahead(self, market: Market) -> bool:
        """Whether a ticker comes before the book frame that it matches: two times of five.

        In a capture of the real venue 40 of 89 tickers do.
        """
        return (self._steps // 7 + market.instrument.number) % 5 < 2

    def _tell_state(self, market: Market, interval: str) -> None:
        for channel in self._watched.get((market.instrument.name, interval), ()):
            told_version, told = self._told.get(channel.name, (-1, ""))
            if told_version == market.version:
                continue
            decides, data = market.render(channel)
            self._told[channel.name] = market.version, decides
            if decides != told:
                self._hub.publish(channel.name, notification(channel.name, data))

    def _tell_trades(self, instrument: Instrument, interval: str, trades: list[str]) -> None:
        data = "[" + ",".join(trades) + "]"
        channel = f"trades.{instrument.name}.{interval}"
        if self._truth.wanted or channel in self._hub.live:
            self._publish(channel, notification(channel, data))
        for scope in _scopes(instrument):
            channel = f"trades.{scope}.{interval}"
            if channel in self._hub.live:
                self._hub.publish(channel, notification(channel, data))

    def _tell_platform(self) -> None:
        if "platform_state" in self._hub.live:
            index = self._markets[0].instrument.index_name
            data = encode({"price_index": index, "locked": self._is_locked})
            self._hub.publish("platform_state", notification("platform_state", data))

    def _watch(self) -> None:
        """Sort the followed channels of state by instrument and interval, when they changed."""
        if self._watched_version == self._hub.version:
            return
        self._watched_version = self._hub.version
        self._watched.clear()
        for name in self._hub.live:
            channel = parse_channel(name)
            if channel.topic in ("grouped", "ticker", "perpetual", "quote"):
                key = channel.instrument, channel.interval or "raw"  # a quote is told at once
                self._watched.setdefault(key, []).append(channel)
        self._told = {name: told for name, told in self._told.items() if name in self._hub.live}

    def _publish(self, channel: str, text: str) -> None:
        self._truth.write(self._now_us * 1_000, text)
        self._hub.publish(channel, text)


def _scopes(instrument: Instrument) -> list[str]:
    """The `kind.currency` parts of channel names that include the instrument."""
    currencies = (instrument.settlement, "any")
    return [f"{kind}.{currency}" for kind in ("future", "any") for currency in currencies]


def _say_late(late: bool, behind_us: float) -> None:
    if late:
        text = (
            f"the model is {behind_us / 1e6:.1f} s late: more --rate or --speed than it can carry"
        )
    else:
        text = "the model is on time again"
    print(f"exchange: {text}", file=sys.stderr, flush=True)
