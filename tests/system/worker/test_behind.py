"""A worker that does not keep up says so, and by how much; so does one whose feed is silent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from faust.types import TP

from app.build import written_state
from app.ingest.service import Waiting
from app.processing.processor import Processor
from app.settings import Settings
from app.state.latest_states import key_of
from app.state.worker_read_model import WorkerReadModel
from app.state.written import BEHIND_MS, WrittenState
from faust_exact.partition import Partition
from models.frame import FRAME_VERSION, Connected, Frame
from models.live import LiveRecord

NAME = "BTC-PERPETUAL"
LONG_AGO_MS = 60_000
STALE_AFTER_S = Settings(_env_file=None).stale_after_ms / 1_000


class Worker(NamedTuple):
    """What is written, and what is read of it."""

    written: WrittenState
    read: WorkerReadModel


def worker(ends: dict[int, int], ingest: Any = None) -> Worker:
    tps = {TP("feed", number): end for number, end in ends.items()}
    app: Any = SimpleNamespace(
        options=Settings(_env_file=None, ingest=False),
        topic_name=lambda name: name,
        state_table=lambda name: SimpleNamespace(name=name),
        raw_table=lambda name, is_global: {},
        keepers=[],
        consumer_is_ready=True,
        consumer=SimpleNamespace(assignment=lambda: set(tps), highwater=tps.get),
        rebalancing=False,
        in_recovery=False,
        reach=SimpleNamespace(is_lost=False),
    )
    written = written_state(app)
    read = WorkerReadModel(app.options, written, app, ingest)
    read._first_reading = SimpleNamespace(is_done=True)
    for number in ends:
        state = Processor(NAME, written.rules)
        state.end_reason = "delisted"  # one that nobody counts among those without a book
        written.books.partitions[number] = Partition(number, 10, {NAME.encode(): state})
    return Worker(written, read)


def hear(written: WrittenState, partition: int, ago_ms: int) -> Frame:
    at_ns = (written.now_ms() - ago_ms) * 1_000_000
    frame = Frame(FRAME_VERSION, NAME, "", "s", 1, [Connected(at_ns, "worker-1", True)])
    written.heard(partition, frame)
    for state in written.books.partitions[partition].states.values():
        live = written.live_state(state, partition)
        record = LiveRecord(partition, "worker-1", 1, 1, True, {NAME: live})
        written.latest.take(key_of(partition), record, 1)
    return frame


def test_a_worker_that_is_behind_says_by_how_much() -> None:
    known = worker({0: 500, 1: 10, 2: 900})
    hear(known.written, 0, LONG_AGO_MS)
    hear(known.written, 1, 0)
    hear(known.written, 2, LONG_AGO_MS)
    readiness = known.read.readiness()
    assert readiness.ready
    assert readiness.degraded == ["partitions [0, 2] are behind: 1380 frames to be processed"]


def test_a_feed_that_is_silent_is_another_matter() -> None:
    known = worker({0: 10, 1: 30})
    hear(known.written, 0, LONG_AGO_MS)
    hear(known.written, 1, LONG_AGO_MS)
    assert known.read.readiness().degraded == [
        "partitions [1] are behind: 20 frames to be processed",
        "the feed of partitions [0] is stale",
    ]


def test_a_short_lag_is_no_trouble() -> None:
    known = worker({0: 500})
    hear(known.written, 0, 0)
    assert known.read.readiness().degraded == []


@pytest.mark.parametrize("is_long", [True, False])
def test_what_waits_for_kafka_is_said_once_it_waits_long(is_long: bool) -> None:
    oldest_s = STALE_AFTER_S + (1.25 if is_long else -0.25)
    ingest: Any = SimpleNamespace(
        troubles=list,
        awaited=list,
        connections=[],
        session="s",
        started=True,
        waiting=lambda: Waiting(1_200, 30, oldest_s),
    )
    known = worker({0: 10}, ingest)
    hear(known.written, 0, 0)
    said = ["1200 messages and 30 frames wait for Kafka, the oldest for 4.2 s"]
    assert known.read.readiness().degraded == (said if is_long else [])


def test_what_was_received_long_ago_is_of_a_backlog() -> None:
    known = worker({0: 500})
    assert known.written.is_behind(hear(known.written, 0, 10 * BEHIND_MS))
    assert not known.written.is_behind(hear(known.written, 0, 0))
