"""A feed that retention trims under a worker, or before it starts: it goes on at once, flagged."""

from __future__ import annotations

import asyncio
import json
import signal
import time

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from app.settings import Settings
from tests.harness.pipeline import Pipeline
from tests.system.chaos.hand import NAME, Session, change, snapshot, time_of
from tests.system.chaos.test_by_hand import Hand

pytestmark = [pytest.mark.timeout(150), pytest.mark.chaos_quick]

AT_ONCE_S = 8.0
"""The watchdog ends a worker that stands still after 60."""


async def trim(settings: Settings, topic: str, partition: int, before: int = -1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        deletion = {TopicPartition(topic, partition): RecordsToDelete(before_offset=before)}
        await admin.delete_records(deletion)
    finally:
        await admin.close()


def ticker(at: float) -> bytes:
    """Return a notification of a mark price, which the windows after it carry."""
    data = {
        "timestamp": time_of(at),
        "instrument_name": NAME,
        "mark_price": 100.25,
        "index_price": 100.0,
        "funding_8h": 1e-5,
        "current_funding": 2e-5,
        "open_interest": 5_000.0,
        "state": "open",
    }
    params = {"channel": f"ticker.{NAME}.100ms", "data": data}
    return json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params}).encode()


def statuses(hand: Hand, topic: str) -> list[list[str]]:
    """Return what was published of each second, in the order of the seconds."""
    found: dict[int, list[str]] = {}
    for record in hand.read(topic):
        window = json.loads(record.value or b"")
        if window["length_ms"] == 1_000:
            found.setdefault(window["start_ms"], []).append(window["status"])
    return [found[start] for start in sorted(found)]


@pytest.mark.parametrize("is_running", [True, False])
def test_a_trimmed_feed_is_gone_on_with_at_once(installation: Settings, is_running: bool) -> None:
    with Pipeline(installation, ingest="false") as pipeline:
        hand = Hand(pipeline)
        hand.start()
        session = Session("s")
        hand.send(session.frame(snapshot(1, 1), at=1, connects=True))
        hand.send(*(session.frame(change(n, n - 1, float(n), n), at=n) for n in range(2, 25)))
        hand.wait_committed()
        worker = hand.run.worker(1)
        worker.signal(signal.SIGSTOP) if is_running else hand.run.terminate(1)
        hand.send(*(session.frame(change(n, n - 1, float(n), n), at=n) for n in range(25, 40)))
        asyncio.run(trim(installation, hand.feed, hand.partition))
        worker.signal(signal.SIGCONT) if is_running else hand.start()
        began = time.monotonic()
        worker = hand.run.worker(1)
        hand.wait("said", lambda: b"but the topic begins at 39" in worker.log.read_bytes())
        if is_running:
            assert time.monotonic() - began < AT_ONCE_S, "with nothing new in the feed"
        hand.send(session.tick(60))  # nothing of the instrument itself
        hand.send(session.frame(snapshot(100, 70), at=70), session.tick(110))
        hand.wait_committed()
        assert worker.running
        assert b"the worker ends" not in worker.log.read_bytes()
        hand.run.finish()
        requests = [json.loads(each.value or b"") for each in hand.read(pipeline.topic("control"))]
        published = statuses(hand, pipeline.topic("windows"))
    assert requests, "the book is asked for: whatever was in the records is not in it"
    first, *later = published
    assert first == ["complete"] or first == ["partial"]
    assert ["gap"] in later
    assert all(len(set(each)) == 1 for each in published)


def test_what_is_computed_again_from_a_trimmed_feed_is_never_complete(
    installation: Settings,
) -> None:
    """Published, killed before it was committed, and retention has passed the commit meanwhile."""
    with Pipeline(installation, ingest="false", checkpoint_max_age_ms="600000") as pipeline:
        hand = Hand(pipeline)
        hand.start()
        session, windows = Session("s"), pipeline.topic("windows")
        hand.send(session.frame(snapshot(1, 1), at=1, connects=True))
        hand.wait_committed()
        # Less than what makes a state due: it is neither written nor committed. A snapshot that
        # stays in the log makes the book right again, but the ticker that every window after it
        # was published with is deleted.
        hand.send(session.frame(ticker(5), at=5))
        frames = [session.frame(change(n, n - 1, float(n), 5 * n), at=5 * n) for n in range(2, 9)]
        frames.append(session.frame(snapshot(9, 45), at=45))
        frames += [
            session.frame(change(n, n - 1, float(n), 5 * n), at=5 * n) for n in range(10, 19)
        ]
        hand.send(*frames)
        hand.wait("published", lambda: len(statuses(hand, windows)) >= 8)
        hand.run.worker(1).kill()
        whole = hand.read(windows)
        asyncio.run(trim(installation, hand.feed, hand.partition, 8))
        hand.start()
        hand.wait("taken over", lambda: b"begins at 8" in hand.run.worker(1).log.read_bytes())
        hand.send(session.frame(snapshot(200, 91), at=91))
        later = range(201, 270)
        hand.send(*(session.frame(change(n, n - 1, 5.0, n - 100), at=n - 100) for n in later))
        hand.wait("goes on", lambda: len(statuses(hand, windows)) >= 15)
        hand.run.finish()
        again = hand.read(windows)[len(whole) :]
    before = {(each.key, json.loads(each.value or b"")["start_ms"]): each.value for each in whole}
    differs = 0
    for each in again:
        window = json.loads(each.value or b"")
        if before.get((each.key, window["start_ms"]), each.value) != each.value:
            differs += 1
            assert window["status"] != "complete", window
    assert differs > 0, "the test shows nothing otherwise"
    assert {json.loads(each.value or b"")["status"] for each in again} >= {"gap", "complete"}
