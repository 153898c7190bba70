"""Batches keep the order, wait for nobody while there is room, and for Kafka when there is none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from faust_exact.fast import output_batches as module
from faust_exact.fast.output_batches import Batches
from faust_exact.partition import Partition
from faust_exact.partition_states import StateKeeper

ROOM = 3
FOREVER_S = 3_600.0


class FakeBatch:
    def __init__(self) -> None:
        self.records: list[bytes] = []

    def append(self, *, timestamp: int | None, key: bytes | None, value: bytes | None) -> object:
        if len(self.records) == ROOM:
            return None
        self.records.append(value or b"")
        return object()


class FakeProducer:
    """As aiokafka: a batch waits while the one before it, of its partition, has not arrived."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, list[bytes]]] = []
        self.changed = asyncio.Condition()
        self._away: dict[int, asyncio.Future[Any]] = {}

    def create_batch(self) -> FakeBatch:
        return FakeBatch()

    async def send_batch(self, topic: str, partition: int, batch: Any) -> asyncio.Future[Any]:
        assert topic == "windows"
        if partition in self._away:
            await asyncio.wait([self._away[partition]])
        future = self._away[partition] = asyncio.get_running_loop().create_future()
        async with self.changed:
            self.sent.append((partition, batch.records))
            self.changed.notify_all()
        return future

    def arrive(self, partition: int = 0) -> None:
        self._away.pop(partition).set_result(None)

    async def until_sent(self, count: int) -> None:
        async with self.changed, asyncio.timeout(20):
            await self.changed.wait_for(lambda: len(self.sent) >= count)


class FakeApp:
    def __init__(self) -> None:
        self.producer = FakeProducer()
        self.should_stop = False


class FakeLoopback:
    """What batches need of a loopback."""

    def __init__(self) -> None:
        self.rests = asyncio.Event()
        self.rests.set()


class FakeKeeper:
    """What batches need of a keeper."""

    may_send = StateKeeper.may_send

    def __init__(self, *numbers: int) -> None:
        self.app = FakeApp()
        self.loopback: FakeLoopback | None = None
        self.partitions = {number: Partition[Any](number, 0) for number in numbers}


def made(*numbers: int) -> tuple[Batches, FakeKeeper, FakeProducer]:
    keeper = FakeKeeper(*(numbers or (0,)))
    return Batches(cast(Any, keeper), "windows"), keeper, keeper.app.producer


@asynccontextmanager
async def running(batches: Batches) -> AsyncIterator[None]:
    task = asyncio.create_task(batches.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def add(
    batches: Batches, partition: Partition[Any], *values: bytes, is_behind: bool = False
) -> None:
    for value in values:
        async with partition.whole:
            await batches.add(partition, b"key", value, is_behind=is_behind)


async def test_records_of_a_turn_go_together_in_their_order() -> None:
    batches, keeper, producer = made(0, 1)
    async with running(batches):
        await add(batches, keeper.partitions[0], b"1", b"2")
        await add(batches, keeper.partitions[1], b"3")
        await producer.until_sent(2)
    assert producer.sent == [(0, [b"1", b"2"]), (1, [b"3"])]
    assert [len(each.sent) for each in keeper.partitions.values()] == [1, 1]


async def test_what_closes_while_records_are_applied_goes_when_they_are() -> None:
    batches, keeper, producer = made(0, 1)
    keeper.loopback = FakeLoopback()
    async with running(batches):
        keeper.loopback.rests.clear()
        await add(batches, keeper.partitions[0], b"1")
        for _ in range(100):  # turns of the loop, in which the others are applied
            await asyncio.sleep(0)
        await add(batches, keeper.partitions[1], b"2")
        await add(batches, keeper.partitions[0], b"3")
        assert producer.sent == []
        keeper.loopback.rests.set()
        await producer.until_sent(2)
    assert producer.sent == [(0, [b"1", b"3"]), (1, [b"2"])]


async def test_while_one_is_on_its_way_the_next_is_filled() -> None:
    batches, keeper, producer = made()
    async with running(batches):
        await add(batches, keeper.partitions[0], b"1")
        await producer.until_sent(1)
        await add(batches, keeper.partitions[0], b"2")
        await add(batches, keeper.partitions[0], b"3")
        async with asyncio.timeout(20):
            while batches._wanted.is_set():  # until it has looked, and found no place
                await asyncio.sleep(0.001)
        producer.arrive()
        await producer.until_sent(2)
    assert producer.sent == [(0, [b"1"]), (0, [b"2", b"3"])]


async def test_one_partition_that_does_not_arrive_holds_up_no_other() -> None:
    batches, keeper, producer = made(0, 1)
    async with running(batches):
        await add(batches, keeper.partitions[0], b"1")
        await producer.until_sent(1)
        await add(batches, keeper.partitions[0], b"2")
        await add(batches, keeper.partitions[1], b"3")
        await producer.until_sent(2)
    assert producer.sent == [(0, [b"1"]), (1, [b"3"])]


async def test_when_both_are_full_the_processing_waits_and_nothing_is_lost() -> None:
    batches, keeper, producer = made()
    partition = keeper.partitions[0]
    values = [b"%d" % number for number in range(4 * ROOM)]
    adding = asyncio.create_task(add(batches, partition, *values))
    await producer.until_sent(1)
    for _ in range(100):  # turns of the loop: as many as it wants
        await asyncio.sleep(0)
    assert not adding.done()
    assert partition.whole.locked()
    held = len(producer.sent[0][1]) + ROOM
    assert held == 2 * ROOM, "one on its way, one full: no more is held"
    for number in range(1, 4):
        producer.arrive()
        if number < 3:
            await producer.until_sent(number + 1)
    await adding
    async with partition.whole:
        await batches.send(partition)
    assert [value for _, records in producer.sent for value in records] == values


async def test_a_checkpoint_is_given_what_was_not_handed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BEHIND_LINGER_S", FOREVER_S)
    batches, keeper, producer = made()
    partition = keeper.partitions[0]
    async with running(batches):
        await add(batches, partition, b"1", is_behind=True)
        assert partition.sent == []
        async with partition.whole:
            await batches.send(partition)
            await batches.send(partition)  # of nothing there is no batch
    assert producer.sent == [(0, [b"1"])]
    (future,) = partition.sent
    assert future is partition.on_its_way


async def test_a_send_that_fails_fails_the_checkpoint() -> None:
    batches, keeper, producer = made()
    partition = keeper.partitions[0]
    await add(batches, partition, b"1")
    async with partition.whole:
        await batches.send(partition)
    producer._away.pop(0).set_exception(RuntimeError("Kafka has not taken it"))
    with pytest.raises(RuntimeError, match="has not taken"):
        await asyncio.gather(*partition.sent)


async def test_what_is_not_ours_any_more_is_not_sent() -> None:
    batches, keeper, producer = made(0, 1, 2)
    given_up, fenced, kept = keeper.partitions.values()
    async with running(batches):
        await add(batches, given_up, b"1")
        await add(batches, fenced, b"2")
        await add(batches, kept, b"3")
        keeper.partitions[0] = Partition(0, 0)
        fenced.is_fenced = True
        await producer.until_sent(1)
        await add(batches, keeper.partitions[0], b"4")
        await producer.until_sent(2)
    assert producer.sent == [(2, [b"3"]), (0, [b"4"])]


async def test_a_backlog_waits_for_more() -> None:
    batches, keeper, producer = made()
    async with running(batches):
        began = time.monotonic()
        await add(batches, keeper.partitions[0], b"1", is_behind=True)
        await producer.until_sent(1)
    assert time.monotonic() - began >= module.BEHIND_LINGER_S


async def test_a_backlog_holds_up_no_partition_that_is_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BEHIND_LINGER_S", FOREVER_S)
    batches, keeper, producer = made(0, 1)
    async with running(batches):
        await add(batches, keeper.partitions[0], b"1", is_behind=True)
        for _ in range(100):  # turns of the loop: it waits for more by then
            await asyncio.sleep(0)
        assert producer.sent == []
        await add(batches, keeper.partitions[1], b"2")
        await producer.until_sent(2)
        await add(batches, keeper.partitions[0], b"3", is_behind=True)
        for _ in range(100):
            await asyncio.sleep(0)
    assert producer.sent == [(0, [b"1"]), (1, [b"2"])]
