"""The topics: made as the catalogue says, checked at start, mended by the command that is named."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.admin import NewTopic

from app.embedded_kafka import EmbeddedBroker
from app.errors import command
from app.settings import Settings
from app.topics import admin as topics
from app.topics.admin import (
    KafkaUnreachable,
    TopicMismatch,
    TopicRefused,
    TopicsUnknown,
    ensure_topics,
)

NAMES = {"feed", "windows", "closed", "live", "refused", "subscriptions", "control", "installation"}
CHANGELOGS = {"books", "history", "subscriptions", "latest"}

TOPIC = 2
UNKNOWN_TOPIC = 3
NOT_ALLOWED = 29
"""The protocol's numbers: of a kind of resource, and of two errors."""


def test_names_are_fixed() -> None:
    names = {topic.name for topic in topics.topics(Settings(installation="a"))}
    changelogs = {f"steelyard-a-{table}-changelog" for table in CHANGELOGS}
    assert names == {f"a-{name}" for name in NAMES} | changelogs
    names = {topic.name for topic in topics.topics(Settings())}
    assert names == NAMES | {f"steelyard-{table}-changelog" for table in CHANGELOGS}


def test_every_topic_has_the_partitions_replication_and_size_of_the_settings() -> None:
    for topic in topics.topics(Settings(partitions=3, replication=2)):
        assert (topic.partitions, topic.replication) == (3, 2)
        assert topic.configs["max.message.bytes"] == str(4 * 1024**2)
        compacted = topic.name.endswith("-changelog") or topic.name == "subscriptions"
        assert topic.policy == ("compact" if compacted else "delete")


async def test_topics_are_created_once_and_as_wanted(installation: Settings) -> None:
    await ensure_topics(installation)
    await ensure_topics(installation)
    wanted = topics.topics(installation)
    async with topics.connect(installation) as admin:
        states = await topics.describe(admin, wanted)
    assert [state.topic for state in states] == list(wanted)
    for state in states:
        assert (state.partitions, state.replication) == (2, 1)
        assert state.configs == state.topic.configs
        assert state.mismatches() == []


async def test_a_wrong_topic_stops_the_start_and_the_named_command_mends_it(
    installation: Settings,
) -> None:
    feed = topics.topics(installation)[0]
    books = next(each for each in topics.topics(installation) if "books" in each.name)
    async with topics.connect(installation) as admin:
        new = [
            NewTopic(feed.name, 3, 1, topic_configs={"retention.ms": "1000"}),
            NewTopic(books.name, 2, 1, topic_configs={"flush.messages": "7"}),
        ]
        await admin.create_topics(new)
        with pytest.raises(TopicMismatch) as caught:
            await ensure_topics(installation)
        found = {(m.topic, m.what): (m.wanted, m.found, m.mend) for m in caught.value.mismatches}
        recreate = f"{command()} topics --recreate {feed.name} --yes"
        assert found[feed.name, "partitions"] == ("2", "3", recreate)
        alter = f"{command()} topics --alter {books.name}"
        assert found[books.name, "cleanup.policy"] == ("compact", "delete", alter)
        assert {recreate, alter} <= {line.split("mend: ")[-1] for line in _lines(caught.value)}
        assert len(found) == 2  # the broker's own limit is large enough for our records

        await topics.recreate(admin, feed)
        await topics.alter(admin, books)
        kept = await topics.describe(admin, [_with_config(books, "flush.messages")])
    await ensure_topics(installation)
    assert kept[0].configs["flush.messages"] == "7"  # what its owner had set is still set


async def test_too_small_a_record_size_is_a_mismatch(installation: Settings) -> None:
    feed = topics.topics(installation)[0]
    small = feed.configs | {"max.message.bytes": "2000"}
    async with topics.connect(installation) as admin:
        await admin.create_topics([NewTopic(feed.name, 2, 1, topic_configs=small)])
    with pytest.raises(TopicMismatch, match=r"max\.message\.bytes is 2000, wanted at least"):
        await ensure_topics(installation)


async def test_more_replicas_than_brokers_is_refused_by_name(installation: Settings) -> None:
    with pytest.raises(TopicRefused, match=installation.topic_prefix + "feed"):
        await ensure_topics(installation.model_copy(update={"replication": 3}))


async def test_topics_are_not_made_by_accident(broker: EmbeddedBroker) -> None:
    async with topics.connect(Settings(kafka=broker.bootstrap)) as admin:
        await admin.describe_topics(["nobody-made-this"])
        assert "nobody-made-this" not in await admin.list_topics()


async def test_an_unreachable_kafka_is_said_in_time() -> None:
    started = time.monotonic()
    with pytest.raises(KafkaUnreachable, match=r"127\.0\.0\.1:1 \(STEELYARD_KAFKA\)"):
        await ensure_topics(Settings(kafka="127.0.0.1:1"))
    assert time.monotonic() - started < 15


class StartingBroker:
    """Answers as a broker does that has just started: at first the configurations are empty."""

    def __init__(self, wanted: Sequence[topics.Topic], empty_answers: int) -> None:
        self.wanted = wanted
        self.empty_answers = empty_answers
        self.asked = 0

    async def describe_topics(self) -> list[dict[str, Any]]:
        replicas = [{"replicas": [1]}]
        return [{"topic": t.name, "partitions": replicas * t.partitions} for t in self.wanted]

    async def describe_configs(self, resources: Sequence[Any]) -> list[SimpleNamespace]:
        self.asked += 1
        if self.asked <= self.empty_answers:
            return [answer(*((UNKNOWN_TOPIC, each.name, []) for each in resources))]
        configs = {topic.name: list(topic.configs.items()) for topic in self.wanted}
        return [answer(*((0, each.name, configs[each.name]) for each in resources))]


def answer(*told: tuple[int, str, list[tuple[str, str]]]) -> SimpleNamespace:
    """Return an answer of Kafka: of each topic an error code, its name and its configuration."""
    return SimpleNamespace(
        resources=[(code, None, TOPIC, name, entries) for code, name, entries in told]
    )


def test_what_an_answer_leaves_empty_is_not_known() -> None:
    entries = [("cleanup.policy", "delete")]
    given = answer((0, "a", entries), (UNKNOWN_TOPIC, "b", []), (0, "c", []))
    assert topics.configs_told([given, answer((0, "d", entries))]) == {"a": entries, "d": entries}
    assert topics.configs_told([]) == {}
    with pytest.raises(TopicRefused, match="how topic b is configured: TopicAuthorizationFailed"):
        topics.configs_told([answer((0, "a", entries), (NOT_ALLOWED, "b", []))])


async def test_a_broker_that_has_just_started_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topics, "ASK_AGAIN_S", 0.0)
    wanted = topics.topics(Settings())
    kafka = StartingBroker(wanted, empty_answers=3)
    states = await topics.describe(kafka, wanted)
    assert kafka.asked == 4
    assert [state.configs for state in states] == [topic.configs for topic in wanted]
    assert [mismatch for state in states for mismatch in state.mismatches()] == []


async def test_a_broker_that_never_tells_is_said_and_no_topic_is_called_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topics, "KAFKA_TIMEOUT_S", 0.0)
    wanted = topics.topics(Settings())[:2]
    kafka = StartingBroker(wanted, empty_answers=1_000)
    with pytest.raises(TopicsUnknown, match=f"configuration of {wanted[0].name}, {wanted[1].name}"):
        await topics.describe(kafka, wanted)
    with pytest.raises(TopicsUnknown):  # or what the owner has set would be taken off
        await topics.alter(kafka, wanted[0])
    assert kafka.asked == 2


def _lines(error: TopicMismatch) -> list[str]:
    return str(error).splitlines()


def _with_config(topic: topics.Topic, name: str) -> topics.Topic:
    return topics.Topic(topic.name, topic.partitions, 1, "", topic.configs | {name: ""})
