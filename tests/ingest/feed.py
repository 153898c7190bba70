"""A feed in memory that a test can wait on, in place of Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

from app.ingest.framing import Record
from app.ingest.service import Ingest
from deribit.backoff import Backoff
from deribit.client import Client, ClientCounts
from deribit.limits import Limits
from models.frame import Frame, Item, decode_frame

PARTITIONS = 4
PATIENCE_S = 25.0
"""How long a test waits for what is sure to come; only a busy machine makes it long."""


def partition_of(instrument: str) -> int:
    """Return a partition: the inverse perpetuals' are 0 and 1, so that a test can name them."""
    known = {"BTC-PERPETUAL": 0, "ETH-PERPETUAL": 1}
    return known.get(instrument, 2 + sum(instrument.encode()) % (PARTITIONS - 2))


class MemoryFeed:
    """Keeps what is published; `is_slow` keeps it unacknowledged."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes, int]] = []
        self.frames: list[Frame] = []
        self.refused: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.unacknowledged: list[asyncio.Future[Any]] = []
        self._sizes: list[int] = []
        self.acknowledges = True
        self.most_unacknowledged = 0
        """Frames; an append is of several, those of a partition."""
        self.largest_append = 0
        self._changed = asyncio.Event()

    async def publish(self, partition: int, records: Sequence[Record]) -> asyncio.Future[Any]:
        await self.open.wait()
        for record in records:
            self.records.append((record.key, record.value, partition))
            self.frames.append(decode_frame(record.value))
        self._changed.set()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.acknowledges:
            future.set_result(None)
        else:
            self.unacknowledged.append(future)
            self._sizes.append(len(records))
            appends = zip(self.unacknowledged, self._sizes, strict=True)
            waiting = sum(size for one, size in appends if not one.done())
            self.most_unacknowledged = max(self.most_unacknowledged, waiting)
            self.largest_append = max(self.largest_append, len(records))
        return future

    async def publish_refused(self, key: bytes, value: bytes) -> None:
        self.refused.append(msgspec.json.decode(value))
        self._changed.set()

    def items(self, instrument: str, kind: type | tuple[type, ...] = object) -> list[Any]:
        found: list[Item] = []
        for frame in self.frames:
            if frame.instrument == instrument:
                found += [item for item in frame.items if isinstance(item, kind)]
        return found

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait, for new records only, until a condition holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@contextlib.asynccontextmanager
async def ingesting(url: str, feed: MemoryFeed, **options: Any) -> AsyncIterator[Ingest]:
    """Run ingest against a venue; on leaving, stop it."""
    backoff = Backoff(first_s=0.05, cap_s=0.2, floor_s=0.01)
    client_options = {"counts": ClientCounts(), "limits": Limits(), **options.pop("client", {})}

    def make(name: str) -> Client:
        return Client(url, name, backoff=backoff, rng=random.Random(3), **client_options)

    if "channels_per_connection" in options:
        options["another"] = make
    ingest = Ingest(
        make("worker-1"),
        worker="worker-1",
        publish=feed.publish,
        publish_refused=feed.publish_refused,
        partition_of=partition_of,
        **options,
    )
    ingest.assign(range(PARTITIONS))
    async with ingest:
        yield ingest
