"""What was revoked stays revoked, whatever was asked of Kafka before, and whenever it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app.settings import Settings
from tests.faust_exact.counting import Exact, produce, running, until

pytestmark = pytest.mark.timeout(120)

QUESTIONS = ["seek_to_committed", "earliest_offsets", "highwaters", "_changelogs", "seek_wait"]


def held(ask: Callable[..., Any], asked: asyncio.Event, answers: asyncio.Event) -> Any:
    async def wait(*args: Any) -> Any:
        answer = await ask(*args)
        asked.set()
        await answers.wait()
        return answer

    return wait


async def test_answers_that_come_after_a_revocation_take_nothing_over(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question of a take-over is answered after the partitions were given up."""
    worker = Exact(topics)
    async with running(worker):
        await until("owned", lambda: len(worker.keeper.partitions) == topics.partitions)
        consumer, settled = worker.app.consumer, []
        worker.keeper.on_settled.append(lambda: settled.append(set(worker.keeper.partitions)))
        for question in QUESTIONS:
            asked, answers = asyncio.Event(), asyncio.Event()
            worker.keeper.drop(list(worker.keeper.partitions))
            with monkeypatch.context() as slow:
                slow.setattr(consumer, question, held(getattr(consumer, question), asked, answers))
                seeking = asyncio.create_task(consumer.perform_seek())
                await asyncio.wait_for(asked.wait(), 10)
                await consumer.on_partitions_revoked(consumer.assignment())
                answers.set()
                await seeking
            assert worker.keeper.partitions == {}, question
            assert settled == [], question
        await consumer.perform_seek()
        assert len(worker.keeper.partitions) == topics.partitions
        assert settled == [set(range(topics.partitions))]


async def test_who_is_given_no_partitions_gives_up_what_it_had(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Exact(topics)
    async with running(worker):
        await until("owned", lambda: len(worker.keeper.partitions) == topics.partitions)
        consumer, settled = worker.app.consumer, []
        worker.keeper.on_settled.append(lambda: settled.append(set(worker.keeper.partitions)))
        assigned = consumer.assignment()
        with monkeypatch.context() as surplus:
            others = {tp for tp in assigned if not worker.keeper.wants(tp)}
            surplus.setattr(consumer, "assignment", lambda: others)
            await consumer.perform_seek()
        assert worker.keeper.partitions == {}
        assert settled == [set()], "the ingest of its instruments is told"
        await consumer.perform_seek()


async def test_who_lost_its_partitions_while_it_recovered_takes_nothing_over(
    topics: Settings,
) -> None:
    """A worker that was paused asks what is committed, and is told what its successor committed."""
    worker = Exact(topics)
    async with running(worker):
        await until("owned", lambda: len(worker.keeper.partitions) == topics.partitions)
        await produce(topics, 0, 40)
        await until("processed", lambda: len(worker.processed) == 40)
        consumer, settled = worker.app.consumer, []
        await consumer.final_commit()
        worker.keeper.on_settled.append(lambda: settled.append(set(worker.keeper.partitions)))
        worker.keeper.drop(list(worker.keeper.partitions))
        consumer._thread._consumer._coordinator.generation -= 1  # there was a rebalance without it
        await consumer.perform_seek()
        assert worker.keeper.partitions == {}
        assert settled == []
        await until("owned again", lambda: len(worker.keeper.partitions) == topics.partitions)
        await produce(topics, 40, 2)
        await until("processed, too", lambda: len(worker.processed) == 42)
