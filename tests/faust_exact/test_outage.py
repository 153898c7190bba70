"""A Kafka that is away is waited for: nothing that was sent fails, is lost, or comes twice."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import MessageSizeTooLargeError, RequestTimedOutError
from aiokafka.structs import RecordMetadata

from app.embedded_kafka import EmbeddedBroker
from app.settings import Settings
from app.topics.admin import connect
from faust_exact.outage_patience import PatientProducer, patiently
from faust_exact.reachability import Reach
from tests.system.chaos.runner import own_broker

TOPIC = "sent"
REQUEST_TIMEOUT_S = 0.7
"""Of a request, where a worker's is 30 s: so a few seconds are as long as minutes."""
OUTAGE_S = 4.0


@asynccontextmanager
async def producing(broker: EmbeddedBroker) -> AsyncIterator[PatientProducer]:
    producer = PatientProducer(
        bootstrap_servers=broker.bootstrap,
        request_timeout_ms=int(REQUEST_TIMEOUT_S * 1_000),
        enable_idempotence=True,
        acks="all",
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def read(broker: EmbeddedBroker) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        tp = TopicPartition(TOPIC, 0)
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        end, found = (await consumer.end_offsets([tp]))[tp], []
        while await consumer.position(tp) < end:
            found += (await consumer.getmany(timeout_ms=200)).get(tp, [])
        return [record.value for record in found]
    finally:
        await consumer.stop()


async def send_while_paused(broker: EmbeddedBroker, values: list[bytes]) -> list[RecordMetadata]:
    """Send one half before the broker is paused, and the other while it is; wait for all."""
    assert broker.process is not None
    async with producing(broker) as producer:
        half = len(values) // 2
        sent = [await producer.send(TOPIC, value, partition=0) for value in values[:half]]
        await asyncio.gather(*sent)
        broker.process.send_signal(signal.SIGSTOP)
        try:
            for value in values[half:]:
                sent.append(await producer.send(TOPIC, value, partition=0))
                await asyncio.sleep(OUTAGE_S / half)
        finally:
            broker.process.send_signal(signal.SIGCONT)
        return await asyncio.gather(*sent)


class App:
    """What the look at Kafka asks of the worker."""

    keepers: tuple[Any, ...] = ()
    knows_coordinator = True
    should_stop = False

    def __init__(self, broker: EmbeddedBroker) -> None:
        self.options = SimpleNamespace(kafka=broker.bootstrap)
        self.waits_s = 0.0
        self.producer = SimpleNamespace(waiting=lambda: ("live", self.waits_s))
        tps = SimpleNamespace(
            partitions={0: None},
            input_tp=lambda number: TopicPartition(TOPIC, number),
            changelog_tp=lambda number: TopicPartition(TOPIC, number),
        )
        self.keepers = (tps,)


async def until(reach: Reach, *, is_lost: bool) -> None:
    async with asyncio.timeout(30):
        while reach.is_lost != is_lost:
            await asyncio.sleep(0.05)


def test_an_outage(tmp_path: Path) -> None:
    """In one test: it needs a broker that may be paused."""
    with own_broker(tmp_path) as broker:
        asyncio.run(nothing_is_lost_or_comes_twice(broker))
        asyncio.run(it_is_said_and_why(broker))


async def nothing_is_lost_or_comes_twice(broker: EmbeddedBroker) -> None:
    async with connect(Settings(kafka=broker.bootstrap)) as admin:
        await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    values = [b"%d" % number for number in range(40)]
    acknowledged = await send_while_paused(broker, values)
    assert [each.offset for each in acknowledged] == list(range(len(values)))
    assert await read(broker) == values


async def it_is_said_and_why(broker: EmbeddedBroker) -> None:
    assert broker.process is not None
    app = App(broker)
    reach = Reach(app)
    looking = asyncio.create_task(reach.run())
    app.waits_s = 31.0
    await until(reach, is_lost=True)
    assert reach.reason == "Kafka does not acknowledge what is sent to live; for 0 s"
    app.waits_s = 0.0
    await until(reach, is_lost=False)
    broker.process.send_signal(signal.SIGSTOP)
    try:
        await until(reach, is_lost=True)
        assert reach.reason.startswith("Kafka does not answer within 5 s; for ")
    finally:
        broker.process.send_signal(signal.SIGCONT)
    await until(reach, is_lost=False)
    app.should_stop = True
    await looking


async def test_what_is_refused_is_not_asked_again() -> None:
    answers: list[Any] = [RequestTimedOutError(), TimeoutError(), MessageSizeTooLargeError()]

    async def ask() -> None:
        raise answers.pop(0)

    with pytest.raises(MessageSizeTooLargeError):
        await patiently(ask)
    assert answers == []
