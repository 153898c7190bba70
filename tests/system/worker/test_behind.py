"""A worker that does not keep up says so, and by how much; so does one whose feed is silent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from app.ingest.service import Waiting
from app.processing.processor import Processor
from app.settings import Settings
from app.state.latest_states import key_of
from app.state.worker_state import BEHIND_MS, WorkerState
from faust_exact.partition import Partition
from models.frame import FRAME_VERSION, Connected, Frame
from models.live import LiveRecord

NAME = "BTC-PERPETUAL"
LONG_AGO_MS = 60_000


def worker(ends: dict[int, int]) -> WorkerState:
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
    shared = WorkerState(app)
    shared.first_reading = SimpleNamespace(is_done=True)
    for number in ends:
        state = Processor(NAME, shared.rules)
        state.end_reason = "delisted"  # one that nobody counts among those without a book
        shared.books.partitions[number] = Partition(number, 10, {NAME.encode(): state})
    return shared


def hear(shared: WorkerState, partition: int, ago_ms: int) -> Frame:
    at_ns = (shared.now_ms() - ago_ms) * 1_000_000
    frame = Frame(FRAME_VERSION, NAME, "", "s", 1, [Connected(at_ns, "worker-1", True)])
    shared.heard(partition, frame)
    for state in shared.books.partitions[partition].states.values():
        live = shared.live_state(state, partition)
        record = LiveRecord(partition, "worker-1", 1, 1, True, {NAME: live})
        shared.latest.take(key_of(partition), record, 1)
    return frame


def test_a_worker_that_is_behind_says_by_how_much() -> None:
    shared = worker({0: 500, 1: 10, 2: 900})
    hear(shared, 0, LONG_AGO_MS)
    hear(shared, 1, 0)
    hear(shared, 2, LONG_AGO_MS)
    readiness = shared.readiness()
    assert readiness.ready
    assert readiness.degraded == ["partitions [0, 2] are behind: 1380 frames to be processed"]


def test_a_feed_that_is_silent_is_another_matter() -> None:
    shared = worker({0: 10, 1: 30})
    hear(shared, 0, LONG_AGO_MS)
    hear(shared, 1, LONG_AGO_MS)
    assert shared.readiness().degraded == [
        "partitions [1] are behind: 20 frames to be processed",
        "the feed of partitions [0] is stale",
    ]


def test_a_short_lag_is_no_trouble() -> None:
    shared = worker({0: 500})
    hear(shared, 0, 0)
    assert shared.readiness().degraded == []


@pytest.mark.parametrize("is_long", [True, False])
def test_what_waits_for_kafka_is_said_once_it_waits_long(is_long: bool) -> None:
    shared = worker({0: 10})
    hear(shared, 0, 0)
    oldest_s = shared.stale_after_ms / 1_000 + (1.25 if is_long else -0.25)
    ingest: Any = SimpleNamespace(
        troubles=list, awaited=list, connections=[], waiting=lambda: Waiting(1_200, 30, oldest_s)
    )
    shared.ingest = ingest
    said = ["1200 messages and 30 frames wait for Kafka, the oldest for 4.2 s"]
    assert shared.readiness().degraded == (said if is_long else [])


def test_what_was_received_long_ago_is_of_a_backlog() -> None:
    shared = worker({0: 500})
    assert shared.is_behind(hear(shared, 0, 10 * BEHIND_MS))
    assert not shared.is_behind(hear(shared, 0, 0))
