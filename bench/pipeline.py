"""A broker of the bench's own, installations on it, and logs written into their topics."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.embedded_kafka import EmbeddedBroker
from app.recordings.to_frames import FrameWriter
from app.settings import Settings
from app.topics.partitioner import partition_of
from bench.feeds import ROOT, Log
from models.frame import FRAME_VERSION, Frame, Tick, connection_of, encode_frame

WORK: Final = ROOT / "var" / "bench"
PARTITIONS: Final = 8
HEAP_MB: Final = 512
SESSION: Final = "bench"
BATCH_BYTES: Final = 256 * 1024
LINGER_MS: Final = 20
FETCH_WAIT_MS: Final = 20
YIELD_EVERY: Final = 500
"""A full batch makes `send` wait, a batch with room does not: the sender needs its turn."""
CLOSE_AFTER_MS: Final = 4_500
"""So far ahead are the last ticks: 3 s of lateness and the grace close the last window of 1 s."""


class Broker:
    """One Kafka broker for all measurements, in a folder that is deleted afterwards."""

    def __init__(self, folder: Path = WORK / "kafka") -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.folder = folder
        self.embedded = EmbeddedBroker(folder, heap_mb=HEAP_MB)

    def __enter__(self) -> Self:
        asyncio.run(self.embedded.start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run(self.embedded.stop())
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def bootstrap(self) -> str:
        """Where clients find it."""
        return self.embedded.bootstrap

    @property
    def pid(self) -> int:
        """The process of the broker."""
        assert self.embedded.process is not None
        return self.embedded.process.pid

    def installation(self, **settings: Any) -> Settings:
        """Return the settings of an installation that one measurement has for itself."""
        unique = uuid.uuid4().hex[:8]
        folder = WORK / "runs" / unique
        folder.mkdir(parents=True)
        for name in [name for name in os.environ if name.startswith("STEELYARD_")]:
            print(f"bench: {name} of the environment is ignored", file=sys.stderr)
            del os.environ[name]
        return Settings(
            _env_file=None,
            installation=f"bench-{unique}",
            kafka=self.bootstrap,
            data_dir=folder,
            partitions=PARTITIONS,
            **settings,
        )


def frames_of(log: Log, partitions: int) -> Iterable[tuple[Frame, int]]:
    """Yield the frames of a log, as a replay makes them, and ticks that close every window."""
    writer = FrameWriter(SESSION, SESSION)
    session = ""
    for received_ns, message in log.lines:
        for frame in writer.add(received_ns, message):
            session = frame.session
            yield frame, partition_of(frame.instrument, partitions)
    for frame in writer.flush():
        session = frame.session
        yield frame, partition_of(frame.instrument, partitions)
    end_ms = log.end_ms + CLOSE_AFTER_MS
    tick = Tick(log.lines[-1][0] + CLOSE_AFTER_MS * 1_000_000, end_ms, 0)
    for partition in range(partitions):
        frame = Frame(FRAME_VERSION, "", "", connection_of(session), 0, [tick])
        yield frame, partition


@asynccontextmanager
async def _producer(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    client = AIOKafkaProducer(
        bootstrap_servers=kafka,
        acks="all",
        compression_type="zstd",
        max_batch_size=BATCH_BYTES,
        linger_ms=LINGER_MS,
        max_request_size=4 * 1024 * 1024,
    )
    await client.start()
    try:
        yield client
        await client.flush()
    finally:
        await client.stop()


async def write_frames(settings: Settings, log: Log) -> dict[str, int]:
    """Write a log as frames into the feed; return how many records and bytes that is."""
    topic = f"{settings.topic_prefix}feed"
    # Made first: then they are written in a moment, and take little from who reads them already.
    records = [
        (encode_frame(frame), frame.instrument.encode() or None, partition)
        for frame, partition in frames_of(log, settings.partitions)
    ]
    async with _producer(settings.kafka) as client:
        for value, key, partition in records:
            await client.send(topic, value, key=key, partition=partition)
    return {"records": len(records), "bytes": sum(len(value) for value, _, _ in records)}


async def write_messages(kafka: str, topic: str, messages: Iterable[tuple[str, bytes]]) -> int:
    """Write (instrument, notification) as they are, one record each; return how many."""
    written = 0
    async with _producer(kafka) as client:
        for name, message in messages:
            partition = partition_of(name, PARTITIONS)
            await client.send(topic, message, key=name.encode(), partition=partition)
            written += 1
            if written % YIELD_EVERY == 0:
                await asyncio.sleep(0)
    return written


async def make_topics(kafka: str, *names: str, partitions: int = PARTITIONS) -> None:
    """Make topics for a peer."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        # Windows carry the time of a recording: Kafka would soon find them too old to be kept.
        kept = {"retention.ms": "-1"}
        await admin.create_topics(
            [NewTopic(name, partitions, 1, topic_configs=kept) for name in names]
        )
    finally:
        await admin.close()


class Reader:
    """Follows topics from their beginning, and notes when each record became readable."""

    def __init__(self, kafka: str, *topics: str, partitions: int = PARTITIONS) -> None:
        self._partitions = [
            TopicPartition(topic, number) for topic in topics for number in range(partitions)
        ]
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign(self._partitions)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def to_end(self) -> None:
        """Stand at the present end of the topics."""
        for partition in self._partitions:
            # Until it is known, the client is about to go to the beginning, and may do so later.
            await self._consumer.position(partition)
        ends = await self._consumer.end_offsets(self._partitions)
        for partition, end in ends.items():
            self._consumer.seek(partition, end)

    async def up_to(self, ends: Mapping[TopicPartition, int]) -> list[bytes]:
        """Read on to these offsets; return the values that lie before them."""
        values: list[bytes] = []
        left = set(self._partitions)
        while left := {at for at in left if await self._consumer.position(at) < ends[at]}:
            records, _ = await self.poll()
            values += [
                record.value
                for record in records
                if record.offset < ends[TopicPartition(record.topic, record.partition)]
            ]
        return values

    async def poll(self, wait_ms: int = 100) -> tuple[list[Any], int]:
        """Return the records that have come, and the time, ns since the epoch."""
        batches = await self._consumer.getmany(timeout_ms=wait_ms)
        return [record for batch in batches.values() for record in batch], time.time_ns()


@dataclass(slots=True)
class Output:
    """What a contestant has published, and when it could be read."""

    records: list[bytes] = field(default_factory=list)
    wanted: int = 0
    """Of them, how many were waited for."""
    marks: list[tuple[float, int]] = field(default_factory=list)
    """(seconds by the monotonic clock, records so far)."""

    def timed(self) -> tuple[float, float]:
        """Return the seconds from the first records to the last, and their share.

        What was there at the first look is taken out of both: a start is not throughput.
        """
        began, first = self.marks[0]
        ended, total = self.marks[-1]
        return ended - began, (total - first) / total


async def follow(
    reader: Reader,
    wanted: int,
    is_wanted: Callable[[bytes], bool],
    *,
    timeout_s: float,
    alive: Callable[[], None] = lambda: None,
) -> Output:
    """Read until so many records came that are wanted; raise TimeoutError if they do not."""
    output = Output()
    deadline = time.monotonic() + timeout_s
    while output.wanted < wanted:
        records, _ = await reader.poll()
        if records:
            output.records += [record.value for record in records]
            output.wanted += sum(is_wanted(record.value) for record in records)
            output.marks.append((time.monotonic(), len(output.records)))
        else:
            alive()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{output.wanted} of {wanted} windows came within {timeout_s} s")
    return output


async def ends(kafka: str, topic: str, partitions: int = PARTITIONS) -> dict[TopicPartition, int]:
    """Return the end offset of each partition of a topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    await consumer.start()
    try:
        return dict(
            await consumer.end_offsets([TopicPartition(topic, p) for p in range(partitions)])
        )
    finally:
        await consumer.stop()


async def committed(
    kafka: str,
    group: str,
    topic: str,
    *,
    timeout_s: float,
    alive: Callable[[], None] = lambda: None,
    every_s: float = 0.1,
) -> float:
    """Return when a group had committed all of a topic, by the monotonic clock.

    `alive` raises if whoever should read has ended. Raises TimeoutError with how far it came.
    """
    wanted = await ends(kafka, topic)
    total = sum(wanted.values())
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            alive()
            offsets = await admin.list_consumer_group_offsets(group, partitions=list(wanted))
            done = sum(max(0, known.offset) for known in offsets.values())
            if done >= total:
                return time.monotonic()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{group} has committed {done} of {total} within {timeout_s} s")
            await asyncio.sleep(every_s)
    finally:
        await admin.close()


def topic_bytes(broker: Broker, topic: str) -> int:
    """Return what a topic takes on the broker's disk, in all its partitions."""
    size = 0
    for folder in broker.folder.rglob(f"{topic}-*"):
        if folder.is_dir() and folder.name.rpartition("-")[0] == topic:
            size += sum(file.stat().st_size for file in folder.glob("*.log"))
    return size
