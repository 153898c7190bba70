"""One name stands for an installation; a worker that would meet another's is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import ValidationError

from app.__main__ import main
from app.settings import PRODUCTION_URL, TESTNET_URL, Settings
from app.topics.admin import ensure_topics, topics
from app.topics.ownership import InstallationForeign, check_claims
from app.worker import data_dir
from tests.harness.pipeline import Pipeline, Worker

START_LIMIT_S = 20.0
LOOPBACK = ("ws://127.0.0.1:1/ws/api/v2", "ws://localhost:2/ws/api/v2")


def everything_of(configured: Settings) -> set[str]:
    return {
        configured.app_id,
        str(data_dir(configured)),
        *(topic.name for topic in topics(configured)),
    }


def test_two_names_have_nothing_in_common() -> None:
    names = ("steelyard", "a", "a-", "steelyard-a", "feed", "demo", "a-steelyard")
    for one in names:
        for other in names:
            if one != other:
                ours, theirs = (everything_of(Settings(installation=name)) for name in (one, other))
                assert not ours & theirs, (one, other)


@pytest.mark.parametrize(
    ("app_id", "prefix", "wanted", "moves"),
    [
        ("steelyard", "", "STEELYARD_INSTALLATION=steelyard", False),
        ("steelyard-demo", "demo-", "STEELYARD_INSTALLATION=demo", False),
        ("", "b-", "STEELYARD_INSTALLATION=b", True),
        ("prod", "", "STEELYARD_INSTALLATION=steelyard", True),
        ("prod", "prod-", "STEELYARD_INSTALLATION=prod", True),
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_settings_of_an_earlier_release_are_not_passed_over(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    app_id: str,
    prefix: str,
    wanted: str,
    moves: bool,
    in_file: bool,
) -> None:
    given = {"STEELYARD_APP_ID": app_id, "STEELYARD_TOPIC_PREFIX": prefix}
    if in_file:
        file = tmp_path / ".env"
        file.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
        monkeypatch.setitem(Settings.model_config, "env_file", str(file))
    else:
        for name, value in given.items():
            monkeypatch.setenv(name, value)
    assert main(["settings"]) == 2
    said = capsys.readouterr().err
    assert all(f"{name}={value}" in said for name, value in given.items() if value)
    assert wanted in said
    assert ("docs/operations.md" in said) is moves
    assert ("everything stays where it is" in said) is not moves


def test_they_are_refused_in_code_too() -> None:
    with pytest.raises(ValidationError, match="topic_prefix: set installation"):
        Settings(topic_prefix="a-")  # type: ignore[call-arg]


def reads(installation: Settings, venue_url: str) -> Settings:
    changed = {"venue_url": venue_url, "ingest": True}
    return installation.model_copy(update=changed)


async def test_a_name_is_of_one_venue(installation: Settings) -> None:
    await ensure_topics(installation)
    for port in LOOPBACK:  # a demo's port is another each time
        await check_claims(reads(installation, port))
    with pytest.raises(InstallationForeign) as refused:
        await check_claims(reads(installation, PRODUCTION_URL))
    assert "reads the venue at this machine" in str(refused.value)
    assert "www.deribit.com" in str(refused.value)
    # Who reads no venue writes nothing that could be mixed up.
    await check_claims(installation.model_copy(update={"ingest": False}))


async def test_of_two_that_start_at_once_one_is_refused(installation: Settings) -> None:
    async def start(name: str, venue_url: str) -> bool:
        configured = installation.model_copy(update={"installation": name})
        try:
            await check_claims(reads(configured, venue_url))
        except InstallationForeign:
            return False
        return True

    for attempt in range(5):
        name = f"{installation.installation}-{attempt}"
        await ensure_topics(installation.model_copy(update={"installation": name}))
        started = await asyncio.gather(start(name, PRODUCTION_URL), start(name, TESTNET_URL))
        assert sorted(started) == [False, True]


def wait_for_partitions(worker: Worker) -> None:
    worker.wait_until("given its partitions", lambda: "taken over" in worker.tail(), START_LIMIT_S)


async def leave_groups(kafka: str, topic: str) -> None:
    """Have groups on the broker that are nobody's business, as on every Kafka that is shared."""
    for number in range(3):
        async with AIOKafkaConsumer(
            topic,
            bootstrap_servers=kafka,
            group_id=f"others-{number}",
            auto_offset_reset="earliest",
        ) as consumer:
            await consumer.commit({TopicPartition(topic, 0): 0})


@pytest.mark.timeout(90)
@pytest.mark.parametrize("shared", ["topics", "group"])
def test_a_worker_that_meets_one_of_another_installation_is_refused(
    installation: Settings, shared: str
) -> None:
    group = "somebody" if shared == "topics" else installation.app_id
    prefix = installation.topic_prefix if shared == "topics" else "other-"
    earlier = {"EARLIER_GROUP": group, "EARLIER_PREFIX": prefix}
    with Pipeline(installation, ingest="false") as pipeline:
        asyncio.run(leave_groups(installation.kafka, pipeline.topic("windows")))
        pipeline.application = "tests.harness.earlier_release"
        met = pipeline.worker(1)
        met.env |= earlier
        met.start()
        wait_for_partitions(met)
        pipeline.application = "app"
        worker = pipeline.start_worker(2)
        worker.wait_until("ended", lambda: not worker.running, START_LIMIT_S)
        assert worker.wait(START_LIMIT_S) == 2, worker.tail()
        said = worker.tail()
        assert f"is in the consumer group {group} and reads {prefix}feed" in said
        assert f"would be in {installation.app_id} and read {installation.topic_prefix}feed" in said
        assert met.running
        assert met.stop() == 0
        again = pipeline.start_worker(3)  # with the other one gone, nothing is in the way
        wait_for_partitions(again)
        assert again.stop() == 0
