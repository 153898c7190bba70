"""A tiny processor on the product's own app class: counts records per key, and chains them.

Beside it the same on plain Faust, to show what each part of faust_exact is for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import faust
import msgspec
from aiokafka import AIOKafkaProducer
from yarl import URL

from app.embedded_kafka.processes import free_port
from app.settings import Settings
from app.topics.admin import changelog_name
from app.verify.records import committed, read_topic
from app.worker import Steelyard
from faust_exact.app import RAW
from faust_exact.checkpoint import NO_STATE
from faust_exact.fast.local_delivery import Appended, Loopback
from faust_exact.partition import Partition
from faust_exact.partition_states import StateKeeper
from faust_exact.producer import SNAPPY
from faust_exact.record_batch import Record
from faust_exact.state_record import BadRecord, check_read, check_written, pack, unpack

WAIT_S = 40.0
POLL_S = 0.05
MODULUS = 1_000_003


class Count(msgspec.Struct):
    """What was counted for a key; `chain` depends on the order."""

    count: int = 0
    chain: int = 0
    position: int = 0

    def add(self, value: bytes) -> None:
        self.count += 1
        self.chain = (self.chain * 31 + int(value.split(b" ")[0])) % MODULUS


class CountCodec:
    """Records of counts."""

    def load(self, key: bytes, record: bytes) -> Count:
        position, payload = unpack(record, 1)
        try:
            state = msgspec.json.decode(payload, type=Count)
        except msgspec.MsgspecError as error:
            raise BadRecord(str(error)) from error
        check_read(position, state.position)
        state.position = position
        return state

    def dump(self, key: bytes, state: Count, position: int) -> bytes:
        check_written(position, state.position)
        return pack(1, position, msgspec.json.encode(state))


class Exact:
    """The counter on Steelyard's app."""

    def __init__(self, installation: Settings, number: int = 1, **settings: Any) -> None:
        configured = installation.model_copy(
            update={"worker_name": f"worker-{number}", "web_port": free_port(), **settings}
        )
        self.app = Steelyard(configured)
        self.processed: list[tuple[int, int]] = []
        self.keeper: StateKeeper[Count] = StateKeeper(
            self.app,
            self.app.topic_name("feed"),
            self.app.state_table("books"),
            CountCodec(),
        )
        self.app.keepers.append(self.keeper)
        self.loopback = Loopback(self.keeper, SNAPPY)
        self.loopback.register()
        self.hold = asyncio.Event()
        """Cleared, it makes the agent wait in the middle of an event."""
        self.hold.set()

        @self.app.agent(self.app.input_topic("feed"), name="counter", concurrency=1)
        async def counter(stream: Any) -> None:
            await self.keeper.process(stream, count)

        async def count(partition: Partition[Count], record: Record) -> None:
            state = partition.states.setdefault(record.key or b"", Count())
            if state.position <= record.offset:
                state.add(record.value or b"")
                await self.hold.wait()
                self.processed.append((record.partition, record.offset))
                state.position = record.offset + 1
                partition.touch(record.key or b"", record.offset)

    async def append(self, first: int, count: int, *, keys: int = 4, padding: int = 0) -> None:
        """Append numbered records to the feed, as `produce` does, but from within the worker."""
        partitions = self.app.options.partitions
        for partition in range(partitions):
            records = [
                Appended(f"k{number % keys}".encode(), f"{number} {'x' * padding}".encode())
                for number in range(first, first + count)
                if number % keys % partitions == partition
            ]
            await (await self.loopback.append(partition, records))


class Plain:
    """The same on Faust as it is: its own consumer, a table write per event."""

    def __init__(self, installation: Settings, number: int = 1, **conf: Any) -> None:
        self.app = faust.App(
            installation.app_id,
            broker=URL(f"kafka://{installation.kafka}"),
            datadir=installation.data_dir / f"plain-{number}",
            store="memory://",
            autodiscover=False,
            topic_partitions=installation.partitions,
            topic_allow_declare=False,
            topic_disable_leader=True,
            reply_create_topic=False,
            consumer_auto_offset_reset="earliest",
            stream_recovery_delay=0.0,
            stream_wait_empty=False,
            web_enabled=False,
            **conf,
        )
        self.processed: list[tuple[int, int]] = []
        feed = self.app.topic(f"{installation.topic_prefix}feed", **RAW)
        table = self.app.Table(
            "books", partitions=installation.partitions, key_type=bytes, value_type=bytes
        )

        @self.app.agent(feed, name="counter", concurrency=1)
        async def counter(stream: Any) -> None:
            async for event in stream.events():
                record = table.get(event.key)
                state = msgspec.json.decode(record, type=Count) if record else Count()
                state.add(event.value)
                table[event.key] = msgspec.json.encode(state)
                self.processed.append((event.message.partition, event.message.offset))


class HasApp(Protocol):
    """A worker."""

    app: Any


@asynccontextmanager
async def running(*workers: HasApp) -> AsyncIterator[None]:
    """Start workers in this process, and stop those that still run."""
    for worker in workers:
        worker.app.finalize()
    try:
        await asyncio.gather(*(worker.app.maybe_start() for worker in workers))
        yield
    finally:
        for worker in workers:
            await worker.app.stop()


async def until(what: str, condition: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
    """Wait for a condition; fail if it does not come true."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"not {what} within {timeout_s} s")


async def produce(
    settings: Settings, first: int, count: int, *, keys: int = 4, padding: int = 0
) -> None:
    """Append numbered records to the feed, spread over keys and partitions."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka)
    await producer.start()
    try:
        for number in range(first, first + count):
            key = f"k{number % keys}"
            value = f"{number} {'x' * padding}".encode()
            partition = number % keys % settings.partitions
            topic = f"{settings.topic_prefix}feed"
            await producer.send(topic, value, key=key.encode(), partition=partition)
        await producer.flush()
    finally:
        await producer.stop()


def expected(count: int, *, keys: int = 4) -> dict[bytes, tuple[int, int]]:
    """Return count and chain of each key after that many records."""
    states: dict[bytes, Count] = {}
    for number in range(count):
        states.setdefault(f"k{number % keys}".encode(), Count()).add(str(number).encode())
    return {key: (state.count, state.chain) for key, state in states.items()}


async def stored(settings: Settings) -> dict[bytes, tuple[int, int]]:
    """Return the counts in the changelog: of each key the record with the highest position."""
    codec, states = CountCodec(), {}
    for record in await read_topic(settings.kafka, changelog_name(settings.app_id, "books")):
        if record.value is None:  # a partition that had no state yet
            assert record.key == NO_STATE
            continue
        state = codec.load(record.key, record.value)
        if record.key not in states or state.position >= states[record.key].position:
            states[record.key] = state
    return {key: (state.count, state.chain) for key, state in states.items()}


async def commits(settings: Settings) -> int:
    """Return how many records of the feed are committed."""
    found = await committed(settings.kafka, settings.app_id, f"{settings.topic_prefix}feed")
    return sum(found.values())
