"""The topics: made as the catalogue says, checked at start, mended by the command that is named."""

from __future__ import annotations

import time

import pytest
from aiokafka.admin import NewTopic

from app import topics
from app.errors import command
from app.kafka import EmbeddedBroker
from app.settings import Settings
from app.topics import KafkaUnreachable, TopicMismatch, TopicRefused, ensure_topics

NAMES = {"feed", "windows", "closed", "live", "refused", "subscriptions", "control"}
CHANGELOGS = {"books", "history", "subscriptions", "latest"}


def test_names_are_fixed() -> None:
    names = {topic.name for topic in topics.topics(Settings(app_id="a", topic_prefix="p-"))}
    assert names == {f"p-{name}" for name in NAMES} | {f"a-{t}-changelog" for t in CHANGELOGS}


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


def _lines(error: TopicMismatch) -> list[str]:
    return str(error).splitlines()


def _with_config(topic: topics.Topic, name: str) -> topics.Topic:
    return topics.Topic(topic.name, topic.partitions, 1, "", topic.configs | {name: ""})
