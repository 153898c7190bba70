"""The publisher appends frames to Kafka, in order, and waits while too much is unacknowledged.

Who flushes waits as long as Kafka makes it wait. That is how a slow Kafka reaches the clients'
bounded queues, which then drop and mark, instead of growing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from app.ingest.connection import IngestCounts
from app.ingest.framing import Outbox, Record
from deribit.backoff import TokenBucket
from deribit.events import Unreadable
from models.refused import refused_record

MAX_FRAMES_IN_FLIGHT: Final = 500
MAX_BYTES_IN_FLIGHT: Final = 16 * 1024 * 1024
MAX_REFUSED_PER_S: Final = 20.0
"""More than this of what is not understood is only counted, so that garbage cannot fill Kafka."""
REFUSED_BURST: Final = 100
NO_PARTITION: Final = -1
"""Said of a message that was refused before it reached Kafka."""

Publish = Callable[[int, Sequence[Record]], Awaitable["asyncio.Future[Any]"]]
"""Append records to a partition. Awaiting it keeps their order; the future that it answers is done
when Kafka has acknowledged all of them, and fails if Kafka has not."""
PublishRefused = Callable[[bytes, bytes], Awaitable[object]]
"""Append a record to `refused`: key, value."""


class _Append(NamedTuple):
    """Holds records of one partition that were handed over together."""

    future: asyncio.Future[Any]
    frames: int
    size: int
    received_ns: int


class Publisher:
    """Takes what is in the outbox, and messages that were not understood, to Kafka."""

    def __init__(
        self,
        outbox: Outbox,
        publish: Publish,
        publish_refused: PublishRefused,
        counts: IngestCounts,
    ) -> None:
        self._outbox = outbox
        self._publish = publish
        self._publish_refused = publish_refused
        self._counts = counts
        self._refused: deque[bytes] = deque()
        self._refused_bucket = TokenBucket(MAX_REFUSED_PER_S, REFUSED_BURST)
        self._publishing = asyncio.Lock()
        self._taken: dict[int, list[Record]] = {}
        """By partition: what a flush has taken and not handed over yet."""
        self._in_flight: deque[_Append] = deque()
        self._frames_in_flight = 0
        self._bytes_in_flight = 0

    async def flush(self) -> None:
        """Publish what there is, in order; wait while too much of it is unacknowledged."""
        async with self._publishing:
            self._taken = {}
            for record in self._outbox.take():
                self._taken.setdefault(record.partition, []).append(record)
            for partition, records in list(self._taken.items()):
                future = await self._publish(partition, records)
                del self._taken[partition]
                size = sum(len(record.value) for record in records)
                append = _Append(future, len(records), size, records[0].received_ns)
                self._in_flight.append(append)
                self._frames_in_flight += len(records)
                self._bytes_in_flight += size
                while self._in_flight and (
                    self._frames_in_flight > MAX_FRAMES_IN_FLIGHT
                    or self._bytes_in_flight > MAX_BYTES_IN_FLIGHT
                    or self._in_flight[0].future.done()
                ):
                    await self._settle_one()
            while self._refused:
                await self._publish_refused(b"", self._refused.popleft())

    async def settle(self) -> None:
        """Wait until all that was published is acknowledged."""
        async with self._publishing:
            while self._in_flight:
                await self._settle_one()

    def waiting(self) -> tuple[int, int | None]:
        """Return how many frames Kafka has not acknowledged, and when the first was received."""
        appends = [append for append in self._in_flight if not append.future.done()]
        taken = list(self._taken.values())
        since = [self._outbox.oldest_ns]
        since += [append.received_ns for append in appends]
        since += [records[0].received_ns for records in taken]
        frames = len(self._outbox) + sum(append.frames for append in appends)
        frames += sum(map(len, taken))
        return frames, min((ns for ns in since if ns is not None), default=None)

    def refuse(self, event: Unreadable, session: str, received_ns: int) -> None:
        """Keep a message that was not understood for the next flush; only count one of too many."""
        self._counts.unreadable += 1
        if not self._refused_bucket.take(received_ns / 1e9):
            self._counts.refused_unpublished += 1
            return
        self._refused.append(
            refused_record(
                reason=event.reason,
                instrument="",
                session=session,
                topic="",
                partition=NO_PARTITION,
                offset=None,
                place=0,
                message=event.raw,
            )
        )

    async def _settle_one(self) -> None:
        """Wait for the oldest append to be acknowledged; one that is not is an error of ours."""
        append = self._in_flight.popleft()
        self._frames_in_flight -= append.frames
        self._bytes_in_flight -= append.size
        await append.future
