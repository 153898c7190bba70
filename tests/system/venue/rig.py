"""The product's client, ingest and processors against the simulated exchange, in one process.

A real websocket, no Kafka: what ingest publishes goes to the processors at once, and what they ask
for goes back to ingest, as the agents do it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from typing import Any

from app.ingest.framing import Record
from app.ingest.service import Ingest
from app.processing.processor import Processor, Rules
from deribit.backoff import Backoff
from deribit.client import Client
from exchange import Config, Exchange
from models.frame import Connected, Disconnected, Frame, GapFound
from orderbook.units import UNIT
from tests.ingest.feed import PARTITIONS, MemoryFeed, partition_of

BTC, ETH = "BTC-PERPETUAL", "ETH-PERPETUAL"
BTC_BOOK = f"book.{BTC}.100ms"
RULES = Rules((1_000,), 250, 3_000)
PATIENCE_S = 20.0
BEAT_S = 0.01
QUICK = Backoff(first_s=0.05, cap_s=0.2, floor_s=0.02)
Levels = dict[Decimal, Decimal]


class Rig(MemoryFeed):
    """A venue, an ingest, and the state that the feed leads to."""

    def __init__(self, venue: Exchange, rules: Rules = RULES) -> None:
        super().__init__()
        self.venue = venue
        self.processors: dict[str, Processor] = {}
        self._by_partition: dict[int, list[Processor]] = {}
        self.windows: list[dict[str, Any]] = []
        self.refused_by: Counter[str] = Counter()
        self.statuses: dict[str, list[str]] = {}
        self.ingest: Ingest
        self.served_s = 0.0
        """Time that this process was given: on a busy machine less than has passed."""
        self._rules = rules

    async def publish(self, partition: int, records: Sequence[Record]) -> asyncio.Future[Any]:
        future = await super().publish(partition, records)
        for frame in self.frames[-len(records) :]:
            self._apply(partition, frame)
        return future

    def _apply(self, partition: int, frame: Frame) -> None:
        of_partition = self._by_partition.setdefault(partition, [])
        if frame.instrument and frame.instrument not in self.processors:
            made = self.processors[frame.instrument] = Processor(frame.instrument, self._rules)
            of_partition.append(made)
        concerned = [self.processors[frame.instrument]] if frame.instrument else of_partition
        for processor in concerned:
            name = processor.name
            outcome = processor.feed(frame)
            self.windows += outcome.windows
            self.refused_by.update(reason for _, reason, _ in outcome.refused)
            if outcome.needs_resync:
                self.ingest.resync(name, processor.session)
            elif outcome.is_of_ended:
                self.ingest.resync(name, frame.session, is_ended=True)
            said = self.statuses.setdefault(name, [])
            if said[-1:] != [processor.status]:
                said.append(processor.status)

    # What is known

    def is_live(self, *names: str) -> bool:
        """Whether these, or all that the venue has, are served as live."""
        wanted = names or tuple(market.instrument.name for market in self.markets)
        return all(self.status(name) == "live" for name in wanted)

    def status(self, name: str = BTC) -> str:
        processor = self.processors.get(name)
        return processor.status if processor is not None else "unknown"

    def agrees(self, name: str = BTC, interval: str = "100ms") -> bool:
        """Whether our book is the venue's, as of the venue's last message; raises if it differs."""
        chain = self.market(name).chains[interval]
        book = self.processors[name].instrument.book
        if not self.is_live(name) or book.change_id != chain.last_id:
            return False
        data = json.loads(chain.snapshot(), parse_float=Decimal, parse_int=Decimal)
        for side, levels in (("bids", book.bids), ("asks", book.asks)):
            expected = {price: size for _, price, size in data["params"]["data"][side]}
            assert decimals(levels.levels()) == expected, f"{name}: {side} differ from the venue's"
        return True

    def marks(self, kind: type, name: str = BTC) -> list[Any]:
        return self.items(name, kind)

    @property
    def connections(self) -> int:
        """How many clients the venue has let in."""
        return sum(handshake.status == 101 for handshake in self.venue.handshakes)

    def calls(self, method: str = "", since: int = 0) -> list[Any]:
        """The calls that the venue got, `since` being an earlier number of them."""
        return [call for call in list(self.venue.protocol.calls)[since:] if method in call.method]

    # The venue's insides

    @property
    def markets(self) -> list[Any]:
        return list(self.venue.venue._by_name.values())  # type: ignore[attr-defined]

    def market(self, name: str = BTC) -> Any:
        return self.venue.venue._by_name[name]  # type: ignore[attr-defined]

    def halt(self, *names: str) -> None:
        """Let nothing trade any more: the book stands still."""
        for name in names or [market.instrument.name for market in self.markets]:
            self.venue.fault("set_state", instrument_name=name, state="halted")

    async def still(self, name: str = BTC) -> None:
        """Wait until a halted book has been told to the end."""
        chain = self.market(name).chains["100ms"]
        await self.ready(lambda: chain.is_told and self.agrees(name))

    async def settles(self, name: str = BTC) -> None:
        """Wait until our book is the venue's: halt it, let it be told to the end, open it again."""
        self.halt(name)
        await self.still(name)
        self.venue.fault("set_state", instrument_name=name, state="open")

    def say(self, name: str = BTC, *, channel: str | None = None, **fields: Any) -> int:
        """Send a change that follows the last one; returns its id. Levels are JSON texts."""
        last = self.processors[name].instrument.book.change_id
        assert last is not None
        texts = {
            "timestamp": str(self.venue.venue.now_us() // 1_000),
            "type": '"change"',
            "prev_change_id": str(last),
            "change_id": str(last + 1),
            "instrument_name": f'"{name}"',
            "bids": "[]",
            "asks": "[]",
            **fields,
        }
        data = ",".join(f'"{field}":{text}' for field, text in texts.items() if text is not None)
        channel = channel or f"book.{name}.100ms"
        self.tell(channel, f"{{{data}}}")
        return last + 1

    def tell(self, channel: str, data: str) -> None:
        """Send data on a channel to its followers."""
        params = f'{{"channel":"{channel}","data":{data}}}'
        message = f'{{"jsonrpc":"2.0","method":"subscription","params":{params}}}'
        assert self.venue.hub.inject(channel, message) > 0, f"nobody follows {channel}"

    @contextlib.asynccontextmanager
    async def away(self, name: str = BTC) -> AsyncIterator[Any]:
        """Keep the client out, for what is done to the instrument's book in the block."""
        self.venue.fault("refuse_connections", status=503, count=0)
        self.venue.drop_connections()
        await self.ready(lambda: self.marks(Disconnected, name))
        market = self.market(name)
        yield market.book
        market.book.change_id += 1
        market.book.timestamp_ms = self.venue.venue.now_us() // 1_000
        # Told to nobody: a snapshot shows the book as of the last telling.
        await self.ready(lambda: market.chains["100ms"].is_told)
        self.venue.fault("calm")
        await self.ready(lambda: len(self.marks(Connected, name)) == 2 and self.is_live(name))
        await self.ready(lambda: self.agrees(name))

    # Waiting

    async def learned(self) -> None:
        """Wait until the product has heard for long enough what a market's quiet is."""
        now_us = self.venue.venue.now_us
        until = now_us() + 6_500_000
        await self.ready(lambda: now_us() > until)

    async def count_time(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self.served_s += BEAT_S

    async def ready(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition holds, looking often; fail after PATIENCE_S."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                if self.ingest.crashed:
                    raise self.ingest.crash_reason
                await asyncio.sleep(0.01)

    async def ticks(self, count: int = 1, name: str = BTC) -> None:
        """Wait for so many more windows of an instrument: that much venue time has passed."""
        seen = self.windows_of(name)
        await self.ready(lambda: len(self.windows_of(name)) >= len(seen) + count)

    def windows_of(self, name: str = BTC) -> list[dict[str, Any]]:
        return [window for window in self.windows if window["instrument"] == name]

    def breaks(self, name: str = BTC) -> int:
        """Gaps and disconnects that the feed holds for an instrument."""
        return len(self.marks(GapFound, name)) + len(self.marks(Disconnected, name))


def decimals(levels: Any) -> Levels:
    """Levels in units as exact numbers."""
    return {Decimal(price) / UNIT: Decimal(size) / UNIT for price, size in levels}


@contextlib.asynccontextmanager
async def rig(
    *,
    client: dict[str, Any] | None = None,
    ingest: dict[str, Any] | None = None,
    rules: Rules = RULES,
    **venue: Any,
) -> AsyncIterator[Rig]:
    """Run venue and ingest until every instrument that is wanted is live."""
    config = {"seed": 7, "instruments": 3, "rate": 24.0, "control": True} | venue
    async with Exchange(Config(**config)) as exchange:
        built = Rig(exchange, rules)
        built.ingest = make_ingest(built, exchange.url, client or {}, ingest or {})
        built.ingest.assign(range(PARTITIONS))
        counting = asyncio.create_task(built.count_time())
        try:
            async with built.ingest:
                yield built
        finally:
            counting.cancel()


def make_ingest(
    feed: MemoryFeed, url: str, client: dict[str, Any], ingest: dict[str, Any]
) -> Ingest:
    options = {"backoff": QUICK, "rng": random.Random(3)} | client
    return Ingest(
        Client(url, "worker-1", **options),
        worker="worker-1",
        publish=feed.publish,
        publish_refused=feed.publish_refused,
        partition_of=partition_of,
        **ingest,
    )
