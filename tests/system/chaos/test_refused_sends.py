"""Kafka refuses what one of two workers sends: it ends, and the other owns everything soon."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Callable
from datetime import datetime

import pytest
from aiokafka.admin import NewTopic

from app.settings import Settings
from app.topics.admin import connect
from app.topics.definitions import changelog_name, topics
from app.topics.partitioner import partition_of
from tests.harness.pipeline import Pipeline, Worker
from tests.harness.processes import ROOT, python
from tests.harness.venue import ask, perpetuals
from tests.system.chaos.hand import Session, change, produce_frames, snapshot

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

TAKES_OVER_S = 15.0
"""From the refusal until the other worker owns all partitions and is ready."""
ENDS_S = 60.0
"""From its start, or from when it was made to send."""
SAID = re.compile(r"^(\S+) .*Kafka refused a record", re.M)


async def make_refusing_topic(settings: Settings, name: str) -> None:
    """Make a topic that takes no record of ours: a batch alone has 61 bytes."""
    async with connect(settings) as admin:
        tiny = {"max.message.bytes": "64"}
        await admin.create_topics([NewTopic(name, settings.partitions, 1, topic_configs=tiny)])


def wait_for_nothing(_: Pipeline, __: Worker) -> None:
    """What the topic is for comes by itself."""


def send_garbage(pipeline: Pipeline, _: Worker) -> None:
    """Have the venue say something of each instrument that is none of its messages."""
    for name in perpetuals(pipeline.venue_url):
        channel = f"book.{name}.100ms"
        message = {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel}}
        text = json.dumps(message)
        ask(pipeline.venue_url, "simulator/inject", channel=channel, text=text)


def break_chains(pipeline: Pipeline, _: Worker) -> None:
    """Write frames that do not follow, so that a new snapshot is asked for, of each instrument."""
    settings = pipeline.installation
    for name in perpetuals(pipeline.venue_url):
        session = Session("by-hand-1", name)
        frames = [
            session.frame(snapshot(1, 1, name), at=1, connects=True),
            session.frame(change(9, 8, 5.0, 2, name), at=2),
        ]
        partition = partition_of(name, settings.partitions)
        asyncio.run(produce_frames(settings.kafka, pipeline.topic("feed"), frames, partition))


def subscribe_all(pipeline: Pipeline, worker: Worker) -> None:
    """Subscribe every instrument once more, by its name."""
    names = perpetuals(pipeline.venue_url)
    subprocess.run(
        python("-m", "app", "subscribe", *names), env=worker.env, cwd=ROOT, check=True, timeout=30
    )


CAUSES: dict[str, Callable[[Pipeline, Worker], None]] = {
    "feed": wait_for_nothing,
    "windows": wait_for_nothing,
    "closed": wait_for_nothing,
    "live": wait_for_nothing,
    "refused": send_garbage,
    "control": break_chains,
    "changelog of books": wait_for_nothing,
    "changelog of history": wait_for_nothing,
    "changelog of latest": wait_for_nothing,
    "changelog of subscriptions": subscribe_all,
}
"""What makes a worker send to each topic that it writes."""


def refuse(topic: str, cause: Callable[[Pipeline, Worker], None], installation: Settings) -> None:
    """Run two workers, of which Kafka refuses one what it sends to a topic."""
    refusing = f"{installation.topic_prefix}refusing"
    # Windows of 100 ms fill a chunk of the history soon.
    with Pipeline(installation, windows="100ms") as pipeline:
        asyncio.run(make_refusing_topic(installation, refusing))
        pipeline.start_exchange("--control", "--instruments", "6", "--rate", "60")
        peer = pipeline.start_worker(2)
        peer.wait_ready()
        pipeline.application = "tests.harness.refused_sends"
        worker = pipeline.worker(1)
        worker.env |= {"REFUSED_TOPIC": topic, "REFUSING_TOPIC": refusing}
        worker.start()
        if cause is not wait_for_nothing:
            worker.wait_ready()
            cause(pipeline, worker)
        assert worker.wait(ENDS_S) == 1, worker.tail()
        said = SAID.search(worker.log.read_text())
        assert said is not None, worker.tail()
        assert topic in worker.log.read_text()[said.start() :].splitlines()[0]
        refused_at = datetime.fromisoformat(said[1].replace("Z", "+00:00")).timestamp()
        every = list(range(installation.partitions))

        def owns_all() -> bool:
            status, body = peer.get("/readyz")
            return status == 200 and body["data"]["details"]["partitions"] == every

        peer.wait_until("in charge of all", owns_all, TAKES_OVER_S)
        took_s = time.time() - refused_at
        assert took_s <= TAKES_OVER_S, f"the peer took over after {took_s:.1f} s"
        print(f"{topic}: the peer was ready with all partitions after {took_s:.1f} s")


def name_of(what: str, settings: Settings) -> str:
    """Return the name in Kafka of a topic that CAUSES names."""
    table = what.removeprefix("changelog of ")
    return settings.topic_prefix + what if table == what else changelog_name(settings.app_id, table)


@pytest.mark.chaos
@pytest.mark.parametrize("what", [what for what in CAUSES if what != "live"])
def test_a_refused_record_ends_the_worker(what: str, installation: Settings) -> None:
    refuse(name_of(what, installation), CAUSES[what], installation)


def test_a_refused_record_of_live_ends_the_worker(installation: Settings) -> None:
    """Nobody waits for the answers of `live`: without a look at them all would just be stale."""
    refuse(name_of("live", installation), CAUSES["live"], installation)


def test_every_topic_that_a_worker_writes_is_refused_once(installation: Settings) -> None:
    written = {topic.name for topic in topics(installation)}
    for other in ("subscriptions", "installation"):  # of the command, and of a start: exit code 2
        written.remove(installation.topic_prefix + other)
    assert {name_of(what, installation) for what in CAUSES} == written
