"""The publisher appends frames to Kafka, in order, and waits while too much is unacknowledged.

Who flushes waits as long as Kafka makes it wait. That is how a slow Kafka reaches the clients'
bounded queues, which then drop and mark, instead of growing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from app.connection import IngestCounts
from app.framer import Outbox, Record
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
        self._in_flight: deque[tuple[asyncio.Future[Any], int, int]] = deque()
        """Of each append: its future, frames and bytes."""
        self._frames_in_flight = 0
        self._bytes_in_flight = 0

    async def flush(self) -> None:
        """Publish what there is, in order; wait while too much of it is unacknowledged."""
        async with self._publishing:
            by_partition: dict[int, list[Record]] = {}
            for record in self._outbox.take():
                by_partition.setdefault(record.partition, []).append(record)
            for partition, records in by_partition.items():
                future = await self._publish(partition, records)
                size = sum(len(record.value) for record in records)
                self._in_flight.append((future, len(records), size))
                self._frames_in_flight += len(records)
                self._bytes_in_flight += size
                while self._in_flight and (
                    self._frames_in_flight > MAX_FRAMES_IN_FLIGHT
                    or self._bytes_in_flight > MAX_BYTES_IN_FLIGHT
                    or self._in_flight[0][0].done()
                ):
                    await self._settle_one()
            while self._refused:
                await self._publish_refused(b"", self._refused.popleft())

    async def settle(self) -> None:
        """Wait until all that was published is acknowledged."""
        async with self._publishing:
            while self._in_flight:
                await self._settle_one()

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
        future, frames, size = self._in_flight.popleft()
        self._frames_in_flight -= frames
        self._bytes_in_flight -= size
        await future
