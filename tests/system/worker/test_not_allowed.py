"""A worker that Kafka does not allow what it needs says so in a line, and ends with 2."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import Settings
from tests.harness.guarded import (
    ALLOW,
    DENY,
    DESCRIBE,
    GROUP,
    READ,
    TOPIC,
    WRITE,
    GuardedBroker,
    say,
)
from tests.harness.pipeline import Pipeline, Worker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

ENDS_S = 60.0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedBroker]:
    broker = GuardedBroker(tmp_path_factory.mktemp("guarded"), heap_mb=384)
    asyncio.run(broker.start())
    yield broker
    asyncio.run(broker.stop())


@pytest.fixture
def pipeline(guarded: GuardedBroker, tmp_path: Path) -> Iterator[Pipeline]:
    name = f"guarded-{uuid.uuid4().hex[:6]}"
    settings = Settings(
        installation=name,
        kafka=guarded.bootstrap,
        data_dir=tmp_path,
        partitions=2,
    )
    with Pipeline(settings, ingest="false") as pipeline:
        yield pipeline


def refused(worker: Worker) -> str:
    """Wait for the end of a worker; return the line that says why."""
    assert worker.wait(ENDS_S) == 2, worker.tail()
    said = [line for line in worker.log.read_text().splitlines() if line.startswith("error: ")]
    assert len(said) == 1, worker.tail()
    return said[0]


def test_a_group_that_may_not_be_joined(pipeline: Pipeline) -> None:
    settings = pipeline.installation
    asyncio.run(say(settings, GROUP, settings.app_id, DESCRIBE, ALLOW))  # it may be looked for
    asyncio.run(say(settings, GROUP, settings.app_id, READ, DENY))
    said = refused(pipeline.start_worker(1))
    assert f"group {settings.app_id}" in said
    assert "GroupAuthorizationFailedError" in said


def test_a_topic_that_may_not_be_written_any_more(pipeline: Pipeline) -> None:
    settings = pipeline.installation
    changelog = f"{settings.app_id}-books-changelog"
    worker = pipeline.start_worker(1)
    worker.wait_until("alive", lambda: worker.get("/livez")[0] == 200, ENDS_S)
    for operation, permission in ((DESCRIBE, ALLOW), (READ, ALLOW), (WRITE, DENY)):
        asyncio.run(say(settings, TOPIC, changelog, operation, permission))
    said = refused(worker)
    assert f"topic {changelog}" in said
    assert "TopicAuthorizationFailedError" in said


def test_a_topic_that_may_not_be_claimed(pipeline: Pipeline) -> None:
    """It does not wait, as it does for a Kafka that is away."""
    settings = pipeline.installation
    topic = f"{settings.topic_prefix}installation"
    for operation, permission in ((DESCRIBE, ALLOW), (READ, ALLOW), (WRITE, DENY)):
        asyncio.run(say(settings, TOPIC, topic, operation, permission))
    said = refused(pipeline.start_worker(1, ingest="true"))
    assert f"topic {topic}" in said
