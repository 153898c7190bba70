"""Faust's transport made exact, on a real broker; each beside what plain Faust does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from app.settings import Settings
from app.topics.admin import changelog_name
from app.verify.records import read_topic
from tests.faust_exact.counting import (
    Exact,
    Plain,
    commits,
    expected,
    produce,
    running,
    stored,
    until,
)

pytestmark = pytest.mark.timeout(120)

NEVER_S = 3_600.0


# F1: where nothing is committed, a seek "to what is committed" must go to the beginning


async def replayed_after_a_seek(worker: Exact | Plain, settings: Settings) -> int:
    """Process 40 records without a commit, seek as a rebalance does; return what comes again."""
    async with running(worker):
        await produce(settings, 0, 40)
        await until("processed", lambda: len(worker.processed) == 40)
        assert await commits(settings) == 0
        if isinstance(worker, Exact):
            worker.keeper.drop(list(worker.keeper.partitions))
        await worker.app.consumer.perform_seek()
        await produce(settings, 40, 2)  # delivered after all that comes again
        await until("more", lambda: {(0, 20), (1, 20)} <= set(worker.processed[40:]))
        return len(worker.processed) - 42


async def test_f1_a_partition_without_a_commit_begins_at_its_beginning(topics: Settings) -> None:
    assert await replayed_after_a_seek(Exact(topics, checkpoint_ms=3_600_000), topics) == 40


async def test_f1_plain_faust_stays_where_the_fetcher_stands(topics: Settings) -> None:
    assert await replayed_after_a_seek(Plain(topics, broker_commit_interval=NEVER_S), topics) == 0


async def test_the_fetchers_own_seek_takes_nothing_over(topics: Settings) -> None:
    """Faust's fetcher seeks when the flow is stopped, before the tables are recovered."""
    worker = Exact(topics, checkpoint_ms=3_600_000)
    async with running(worker):
        await until("shared", lambda: len(worker.keeper.partitions) == topics.partitions)
        consumer = worker.app.consumer
        worker.keeper.drop(list(worker.keeper.partitions))
        fetching, consumer._fetching = consumer._fetching, asyncio.current_task()
        await consumer.perform_seek()
        consumer._fetching = fetching
        assert worker.keeper.partitions == {}
        await consumer.perform_seek()
        assert len(worker.keeper.partitions) == topics.partitions


# F19: recovery must not wait for changelog records that the fetcher dropped


async def read_on_at(worker: Exact | Plain, settings: Settings) -> tuple[int, int]:
    """Let the fetcher drop what it has fetched; return where recovery is, and where it reads on.

    The fetcher has read the changelog to its end; recovery has been given the first record.
    """
    async with running(worker):
        await produce(settings, 0, 60)
        await until("processed", lambda: len(worker.processed) == 60)
        consumer, recovery = worker.app.consumer, worker.app.tables.recovery
        await consumer.final_commit() if isinstance(worker, Exact) else await consumer.commit()
        changelog = min(recovery.active_tps)
        end = (await consumer.highwaters(changelog))[changelog]
        assert end > 1, "there is a changelog to be read"
        await consumer.seek_wait({changelog: end})
        recovery.active_offsets[changelog] = 0
        consumer._fetching = asyncio.current_task()
        await consumer.perform_seek()
        position: int = await consumer.position(changelog)
        return recovery.active_offsets[changelog], position


async def test_f19_recovery_is_given_again_what_was_dropped(topics: Settings) -> None:
    where, reads = await read_on_at(Exact(topics), topics)
    assert reads == where


async def test_f19_plain_faust_does_not_give_it_again(topics: Settings) -> None:
    where, reads = await read_on_at(Plain(topics), topics)
    assert reads > where


# F2: a rebalance must not replay what was processed


@asynccontextmanager
async def rebalanced(
    first: Exact | Plain, second: Exact | Plain, settings: Settings
) -> AsyncIterator[None]:
    """Process 100 records by one worker, let another one join, and produce 40 more."""
    async with running(first):
        await produce(settings, 0, 100)
        await until("processed", lambda: len(first.processed) == 100)
        async with running(second):
            await until("shared", lambda: len(second.app.consumer.assignment()) > 0)
            await produce(settings, 100, 40)
            yield


async def test_f2_a_rebalance_commits_first(topics: Settings) -> None:
    first, second = Exact(topics, 1, checkpoint_ms=10_000), Exact(topics, 2, checkpoint_ms=10_000)
    partitions = set(range(topics.partitions))

    def is_done() -> bool:
        done = {*first.processed, *second.processed}
        return len(done) == 140 and {number for number, _ in done} == partitions

    async with rebalanced(first, second, topics):
        assert await commits(topics) >= 100
        await until("all processed", is_done)
    assert len(first.processed) + len(second.processed) == 140
    assert await stored(topics) == expected(140)
    assert await commits(topics) == 140


async def test_f2_plain_faust_gives_partitions_up_without_a_commit(topics: Settings) -> None:
    first, second = (Plain(topics, n, broker_commit_interval=NEVER_S) for n in (1, 2))
    async with rebalanced(first, second, topics):
        assert await commits(topics) == 0, "what was processed is replayed, or lost (F1)"


# F4: what Kafka refuses must not be committed


async def refuse_large_records(settings: Settings, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        configs = {"cleanup.policy": "compact", "max.message.bytes": "80"}
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs)
        await admin.alter_configs([resource])
    finally:
        await admin.close()


async def test_f4_a_refused_checkpoint_is_fatal_and_nothing_is_committed(topics: Settings) -> None:
    worker = Exact(topics, checkpoint_ms=500)
    async with running(worker):
        await refuse_large_records(topics, changelog_name(topics.app_id, "books"))
        await produce(topics, 0, 20)
        await until("crashed", lambda: worker.app.crashed)
    assert len(worker.processed) == 20
    assert await commits(topics) == 0
    assert await stored(topics) == {}


async def test_f4_plain_faust_commits_all_the_same(topics: Settings) -> None:
    worker = Plain(topics, broker_commit_interval=0.5)
    async with running(worker):
        await refuse_large_records(topics, changelog_name(topics.app_id, "books"))
        await produce(topics, 0, 20)
        await until("processed", lambda: len(worker.processed) == 20)
        deadline = time.monotonic() + 20
        while await commits(topics) < 20 and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        assert not worker.app.crashed
    assert await commits(topics) == 20
    assert await read_topic(topics.kafka, changelog_name(topics.app_id, "books")) == []


# F14: a stop is clean and bounded, whatever an agent is doing


async def test_f14_a_stop_in_the_middle_of_an_event_is_bounded_and_loses_nothing(
    topics: Settings,
) -> None:
    worker = Exact(topics, checkpoint_ms=10_000)
    async with running(worker):
        await produce(topics, 0, 40)
        await until("processed", lambda: len(worker.processed) == 40)
        worker.hold.clear()
        await produce(topics, 40, 4)
        # Half applied: the count has it, what would be sent on has not been.
        await until("in the middle", lambda: _counted(worker) == 41)
        started = time.monotonic()
        await worker.app.stop()
        assert time.monotonic() - started < 10
    again = Exact(topics, 2, checkpoint_ms=200)
    async with running(again):
        await until("replayed", lambda: again.keeper.partitions and _counted(again) == 44)
    assert await stored(topics) == expected(44)


def _counted(worker: Exact) -> int:
    partitions: Any = worker.keeper.partitions.values()
    return sum(state.count for each in partitions for state in each.states.values())


# A re-read: what is skipped by the fetcher is asked for, and comes


# F23, F24: what Faust does with each record


async def kept_per_record(worker: Exact | Plain, settings: Settings) -> tuple[int, int]:
    """Process 100 records; return the offsets that are kept, and the tasks that they made."""
    loop, made = asyncio.get_running_loop(), 0

    def make_task(loop: Any, coro: Any, **kwargs: Any) -> asyncio.Task[Any]:
        nonlocal made
        made += getattr(coro, "__qualname__", "").endswith("on_message")
        return asyncio.Task(coro, loop=loop, **kwargs)

    async with running(worker):
        loop.set_task_factory(make_task)
        try:
            await produce(settings, 0, 100)
            await until("processed", lambda: len(worker.processed) == 100)
        finally:
            loop.set_task_factory(None)
        consumer = worker.app.consumer
        feed = f"{settings.topic_prefix}feed"
        acked = [offsets for tp, offsets in consumer._acked.items() if tp.topic == feed]
        index = [offsets for tp, offsets in consumer._acked_index.items() if tp.topic == feed]
        assert sum(map(len, acked)) == sum(map(len, index))
        return sum(map(len, acked)) + len(consumer.unacked), made


async def test_nothing_is_kept_of_records_and_no_task_made_of_them(topics: Settings) -> None:
    worker = Exact(topics, checkpoint_ms=3_600_000)
    assert await kept_per_record(worker, topics) == (0, 0)


async def test_plain_faust_keeps_offsets_until_it_commits_and_makes_tasks(topics: Settings) -> None:
    worker = Plain(topics, broker_commit_interval=NEVER_S)
    assert await kept_per_record(worker, topics) == (100, 100)


async def test_a_skipped_record_is_read_again(topics: Settings) -> None:
    worker = Exact(topics, checkpoint_ms=300)
    async with running(worker):
        await produce(topics, 0, 40)
        await until("processed", lambda: len(worker.processed) == 40)
        for partition in worker.keeper.partitions.values():
            partition.position -= 5  # as if five records had been dropped on the way
            for state in partition.states.values():
                state.position = 0
            partition.reread_at = 0.0
        before = len(worker.processed)
        await produce(topics, 40, 4)
        await until("read again", lambda: len(worker.processed) == before + 14)
    assert await commits(topics) == 44


async def test_no_more_is_fetched_than_two_deliveries_that_wait(topics: Settings) -> None:
    worker = Exact(topics, checkpoint_ms=300)
    async with running(worker):
        consumer = worker.app.consumer
        undone = consumer._undone.setdefault(worker.keeper.topic, set())
        worker.hold.clear()
        await produce(topics, 0, 40)
        await until("one under way", lambda: len(undone) == 1)
        await produce(topics, 40, 40)
        await until("one at hand", lambda: consumer._held)
        await produce(topics, 80, 400)
        rounds = consumer.rounds
        await until("the others are fetched", lambda: consumer.rounds > rounds + 3)
        assert sum(len(delivery.records) for delivery in undone) <= 80
        worker.hold.set()
        await until("processed", lambda: len(worker.processed) == 480)
        await until("all done", lambda: not consumer._undone[worker.keeper.topic])
        assert not consumer._held
        assert not consumer._buffered_partitions
    assert await stored(topics) == expected(480)


async def test_a_rebalance_lets_go_what_is_held(topics: Settings) -> None:
    first, second = Exact(topics, 1, checkpoint_ms=300), Exact(topics, 2, checkpoint_ms=300)
    async with running(first):
        first.hold.clear()
        for place in (0, 40):
            await produce(topics, place, 40)
            await until("handed over", lambda: first.app.consumer._undone)
        async with running(second):
            first.hold.set()
            await produce(topics, 80, 40)
            await until("shared", lambda: len(second.app.consumer.assignment()) > 0)
            await produce(topics, 120, 40)

            def is_done() -> bool:
                return len({*first.processed, *second.processed}) == 160

            await until("all processed", is_done)
    assert await stored(topics) == expected(160)


# Recovery


async def test_a_recovery_reads_the_changelog_from_its_very_first_record(topics: Settings) -> None:
    first = Exact(topics, 1, checkpoint_ms=10_000)
    async with running(first):
        await produce(topics, 0, 2, keys=2)  # one key in each partition: one record each
        await until("processed", lambda: len(first.processed) == 2)
    changelog = await read_topic(topics.kafka, changelog_name(topics.app_id, "books"))
    assert [record.offset for record in changelog] == [0, 0]
    second = Exact(topics, 2, checkpoint_ms=300)
    async with running(second):
        await until("shared", lambda: len(second.keeper.partitions) == topics.partitions)
        await produce(topics, 2, 2, keys=2)
        await until("processed", lambda: len(second.processed) == 2)
    assert await stored(topics) == expected(4, keys=2)
