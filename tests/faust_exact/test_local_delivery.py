"""What a worker appends to its own input, on a real broker: applied once, in order, unfetched."""

from __future__ import annotations

import asyncio

import pytest
from faust.types import TP

from app.settings import Settings
from faust_exact.client_thread import CALM_FETCH_WAIT_MS, FETCH_WAIT_MS
from faust_exact.fast.local_delivery import OwnRecord
from tests.faust_exact.counting import Exact, commits, expected, produce, running, stored, until

pytestmark = pytest.mark.timeout(120)

LONG_S = 60.0


async def owned(worker: Exact, settings: Settings) -> set[TP]:
    """Wait until a worker has all partitions; return them."""
    keeper, consumer = worker.keeper, worker.app.consumer
    await until("owned", lambda: len(keeper.partitions) == settings.partitions)
    await until("flowing", lambda: consumer.flow_active)
    return {keeper.input_tp(number) for number in keeper.partitions}


def lag(worker: Exact) -> int:
    """Return how many records a worker has not applied, as far as it knows."""
    consumer = worker.app.consumer
    return sum(
        (consumer.highwater(worker.keeper.input_tp(number)) or 0) - partition.position
        for number, partition in worker.keeper.partitions.items()
    )


def fetch_wait_ms(worker: Exact) -> int:
    """Return how long the broker may keep a fetch waiting."""
    waits: int = worker.app.consumer._thread._consumer._fetcher._fetch_max_wait_ms
    return waits


async def all_own(worker: Exact, settings: Settings) -> set[TP]:
    """Append 20 records, until nothing is fetched any more; return the partitions.

    The first may come by the fetch that is under way. It waits for a second at most.
    """
    partitions = await owned(worker, settings)
    await worker.append(0, 20)
    await until("processed", lambda: len(worker.processed) == 20)
    await until("unfetched", lambda: worker.app.consumer.unfetched == partitions)
    rounds = worker.app.consumer.rounds
    await until("no fetch from before", lambda: worker.app.consumer.rounds > rounds + 1)
    return partitions


async def test_what_is_our_own_is_applied_without_a_fetch(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faust_exact.fast.local_delivery.QUIET_S", LONG_S)
    worker = Exact(topics, checkpoint_ms=300)
    async with running(worker):
        partitions = await all_own(worker, topics)
        before = worker.loopback.applied
        for first in range(20, 400, 20):
            await worker.append(first, 20)
        await until("processed", lambda: len(worker.processed) == 400)
        assert worker.loopback.applied == before + 380
        assert worker.app.consumer.unfetched == partitions
        assert worker.app.consumer._buffered_partitions >= partitions
        assert worker.app.consumer._undone.get(worker.keeper.topic, set()) == set()
        assert lag(worker) == 0
        assert fetch_wait_ms(worker) == CALM_FETCH_WAIT_MS
    assert len(worker.processed) == 400
    assert await stored(topics) == expected(400)
    assert await commits(topics) == 400


async def test_what_is_acknowledged_and_not_applied_is_lag(topics: Settings) -> None:
    worker = Exact(topics, checkpoint_ms=300)
    async with running(worker):
        await owned(worker, topics)
        await worker.append(0, 4)
        await until("processed", lambda: len(worker.processed) == 4)
        worker.hold.clear()
        await worker.append(4, 40)
        assert lag(worker) == 40
        await until("applying", lambda: not worker.loopback.rests.is_set())
        worker.hold.set()
        await until("processed", lambda: len(worker.processed) == 44)
        assert lag(worker) == 0
        await until("all is applied", worker.loopback.rests.is_set)


async def test_what_others_write_in_between_is_fetched_in_its_place(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a take-over, while the worker before this one does not know of it yet."""
    monkeypatch.setattr("faust_exact.fast.local_delivery.QUIET_S", LONG_S)  # only the gap can tell
    worker = Exact(topics, checkpoint_ms=300)
    async with running(worker):
        await all_own(worker, topics)
        before = worker.loopback.applied
        await produce(topics, 20, 20)
        await worker.append(40, 20)
        await until("processed", lambda: len(worker.processed) == 60)
        assert worker.loopback.applied <= before + 20
        for first in range(60, 140, 20):
            await asyncio.gather(worker.append(first, 10), produce(topics, first + 10, 10))
        await until("all", lambda: len(worker.processed) == 140)
    assert [*worker.processed] == list(dict.fromkeys(worker.processed)), "nothing twice"
    for number in range(topics.partitions):
        offsets = [offset for partition, offset in worker.processed if partition == number]
        assert offsets == list(range(len(offsets))), "in order"
    states = await stored(topics)
    assert {key: count for key, (count, _) in states.items()} == {
        key: count for key, (count, _) in expected(140).items()
    }
    assert await commits(topics) == 140


async def test_what_others_write_into_the_quiet_is_found(topics: Settings) -> None:
    worker = Exact(topics, checkpoint_ms=300)
    async with running(worker):
        await all_own(worker, topics)
        before = worker.loopback.applied
        await produce(topics, 20, 20)
        await until("found", lambda: len(worker.processed) == 40)
        assert worker.loopback.applied == before
        assert not worker.app.consumer._buffered_partitions
        await until("no calm", lambda: fetch_wait_ms(worker) == FETCH_WAIT_MS)
    assert await stored(topics) == expected(40)


async def test_a_worker_that_is_behind_fetches_and_catches_up(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faust_exact.fast.local_delivery.MAX_WAITING_BYTES", 1_000)
    worker = Exact(topics, checkpoint_ms=300)
    async with running(worker):
        partitions = await owned(worker, topics)
        worker.hold.clear()
        await worker.append(0, 400, padding=100)
        waiting = [each.size for each in worker.loopback._waiting.values()]
        assert max(waiting) <= 1_000
        worker.hold.set()
        await until("processed", lambda: len(worker.processed) == 400)
        assert worker.loopback.applied < 100
        number = 400
        while worker.app.consumer.unfetched != partitions:
            await worker.append(number, 4)
            number += 4
        await until("own again", lambda: len(worker.processed) == number)
    assert await stored(topics) == expected(number)


async def test_a_rebalance_in_the_middle_loses_and_repeats_nothing(topics: Settings) -> None:
    first, second = Exact(topics, 1, checkpoint_ms=300), Exact(topics, 2, checkpoint_ms=300)
    async with running(first):
        await owned(first, topics)
        number = 0

        async def append() -> None:
            nonlocal number
            await first.append(number, 20)
            number += 20

        await append()
        async with running(second):
            while not second.keeper.partitions:
                await append()
            for _ in range(10):
                await append()
            await until(
                "all processed",
                lambda: len({*first.processed, *second.processed}) == number,
            )
            tps = {first.keeper.input_tp(each) for each in second.keeper.partitions}
            assert not tps & first.app.consumer.unfetched
        await owned(first, topics)
        await append()
        await until("taken back", lambda: len({*first.processed, *second.processed}) == number)
    assert await stored(topics) == expected(number)
    assert await commits(topics) == number


async def test_a_record_that_comes_both_ways_counts_once(topics: Settings) -> None:
    worker = Exact(topics, checkpoint_ms=300)
    async with running(worker):
        await owned(worker, topics)
        worker.hold.clear()
        record = OwnRecord(worker.keeper.topic, 0, 0, b"k0", b"0 ")
        both = [asyncio.create_task(worker.keeper.take(record)) for _ in range(2)]
        await asyncio.sleep(0)
        worker.hold.set()
        assert sorted(await asyncio.gather(*both)) == [False, True]
        assert worker.processed == [(0, 0)]
        await worker.append(0, 4)
        await until("the others", lambda: len(worker.processed) == 4)
    assert await stored(topics) == expected(4)
