"""B16: a worker that meets wrong topics says which, and how to mend them, and does not start."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from app.embedded_kafka import EmbeddedBroker
from app.settings import Settings
from app.topics.admin import Topic, changelog_name, connect, create, describe, topics
from tests.harness.pipeline import Pipeline

pytestmark = [pytest.mark.chaos_quick, pytest.mark.timeout(60)]

EXIT_LIMIT_S = 15.0


async def make_wrong(settings: Settings, wrong: Topic) -> None:
    async with connect(settings) as admin:
        await create(admin, [wrong])


def refused(installation: Settings) -> str:
    """Start a worker; return what it said before it ended with 2 in time."""
    pipeline = Pipeline(installation, ingest="false")
    started = time.monotonic()
    worker = pipeline.start_worker(1)
    try:
        code = worker.wait(EXIT_LIMIT_S + 5)
    finally:
        worker.kill()
    assert code == 2, worker.tail()
    assert time.monotonic() - started <= EXIT_LIMIT_S
    return worker.tail()


def test_wrong_partition_count(installation: Settings) -> None:
    name = f"{installation.topic_prefix}feed"
    wanted = next(topic for topic in topics(installation) if topic.name == name)
    wrong = Topic(name, 3, 1, "", wanted.configs)
    asyncio.run(make_wrong(installation, wrong))
    said = refused(installation)
    assert f"topic {name}: partitions is 3, wanted 2" in said
    assert f" -m app topics --recreate {name} --yes" in said


def test_wrong_policy_of_a_changelog(installation: Settings) -> None:
    name = changelog_name(installation.app_id, "books")
    wanted = next(topic for topic in topics(installation) if topic.name == name)
    wrong = Topic(name, 2, 1, "", wanted.configs | {"cleanup.policy": "delete"})
    asyncio.run(make_wrong(installation, wrong))
    said = refused(installation)
    assert f"topic {name}: cleanup.policy is delete, wanted compact" in said
    assert f" -m app topics --alter {name}" in said


def test_missing_topics_are_made_as_they_must_be(
    installation: Settings, broker: EmbeddedBroker
) -> None:
    with_missing = Pipeline(installation, ingest="false")
    worker = with_missing.start_worker(1)
    try:
        worker.wait_until("ready to serve", lambda: worker.get("/livez")[0] == 200, 30)

        async def states() -> list[bool]:
            async with connect(installation) as admin:
                found = await describe(admin, topics(installation))
            return [each.partitions == 2 and not each.mismatches() for each in found]

        assert all(asyncio.run(states()))
    finally:
        worker.kill()


def test_a_worker_waits_for_a_kafka_that_does_not_answer(tmp_path: Path) -> None:
    nobody = Settings(installation="nobody", kafka="127.0.0.1:9", data_dir=tmp_path, partitions=2)
    worker = Pipeline(nobody, ingest="false").start_worker(1)
    try:
        worker.wait_until(
            "told that it waits",
            lambda: "No Kafka answers at 127.0.0.1:9" in worker.log.read_text(),
            EXIT_LIMIT_S,
        )
        assert "The worker waits for it" in worker.log.read_text()
        assert worker.stop(EXIT_LIMIT_S) == 0
    finally:
        worker.kill()
