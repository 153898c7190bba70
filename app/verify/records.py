"""Kafka topics as lists of records, read to their present end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, TopicPartition

POLL_MS: Final = 200
STALL_S: Final = 30.0
"""A topic that gives nothing for so long, though it has more, is an error."""
MAX_FETCH_BYTES: Final = 8 * 1024 * 1024


class Record(NamedTuple):
    """One record of a topic."""

    partition: int
    offset: int
    key: bytes
    value: bytes | None


class Unreadable(RuntimeError):
    """A topic is missing, or Kafka does not hand it out."""


@asynccontextmanager
async def consumer(kafka: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a consumer that belongs to no group and commits nothing."""
    from aiokafka import AIOKafkaConsumer

    client = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=MAX_FETCH_BYTES,
        max_partition_fetch_bytes=MAX_FETCH_BYTES,
    )
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def partitions_of(client: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """Return the partitions of a topic; raise Unreadable if there is no such topic."""
    from aiokafka import TopicPartition

    found = await client._client.fetch_all_metadata()
    numbers = found.partitions_for_topic(topic)
    if not numbers:
        raise Unreadable(f"there is no topic {topic}; is STEELYARD_INSTALLATION right?")
    return [TopicPartition(topic, number) for number in sorted(numbers)]


def records_of(batches: dict[Any, list[Any]]) -> list[Record]:
    """Return fetched batches as records."""
    return [
        Record(message.partition, message.offset, message.key or b"", message.value)
        for batch in batches.values()
        for message in batch
    ]


async def stream(
    client: AIOKafkaConsumer, partitions: Sequence[TopicPartition], since_ms: int | None = None
) -> AsyncIterator[list[Record]]:
    """Yield batches from the beginning of partitions, or a time, to the end that they have now."""
    client.assign(list(partitions))
    ends = await client.end_offsets(list(partitions))
    await client.seek_to_beginning(*partitions)
    if since_ms is not None:
        found = await client.offsets_for_times(dict.fromkeys(partitions, since_ms))
        for tp in partitions:
            client.seek(tp, ends[tp] if found.get(tp) is None else found[tp].offset)
    heard = asyncio.get_running_loop().time()
    while True:
        open_ones = [tp for tp in partitions if await client.position(tp) < ends[tp]]
        if not open_ones:
            return
        batch = records_of(await client.getmany(*open_ones, timeout_ms=POLL_MS))
        now = asyncio.get_running_loop().time()
        if batch:
            heard = now
            yield batch
        elif now - heard > STALL_S:
            raise Unreadable(f"{open_ones[0].topic} gave nothing for {STALL_S:.0f} s")


async def read_topic(kafka: str, topic: str) -> list[Record]:
    """Return all records of a topic, in order within each partition."""
    async with consumer(kafka) as client:
        partitions = await partitions_of(client, topic)
        return [record async for batch in stream(client, partitions) for record in batch]


async def committed(kafka: str, group: str, topic: str) -> dict[int, int]:
    """Return the offsets that a group has committed, by partition; without one, none."""
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(group)
    finally:
        await admin.close()
    return {tp.partition: meta.offset for tp, meta in offsets.items() if tp.topic == topic}


async def end_offsets(kafka: str, topic: str) -> dict[int, int]:
    """Return the offset after the last record, by partition."""
    async with consumer(kafka) as client:
        ends = await client.end_offsets(await partitions_of(client, topic))
        return {tp.partition: offset for tp, offset in ends.items()}
