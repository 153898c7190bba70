"""Closed windows reach the history soon, not only with the next checkpoint."""

from __future__ import annotations

import pytest

from agents.books import Books
from agents.history import History
from app.settings import Settings
from app.topics.admin import ensure_topics
from faust_exact.fast.local_delivery import Appended
from models.frame import FRAME_VERSION, Connected, Frame, Notification, Tick, encode_frame
from tests.faust_exact.counting import commits, running, until
from tests.harness.in_process import Worker
from tests.processing.market import START_MS, message

pytestmark = pytest.mark.timeout(120)

NAME = "BTC-PERPETUAL"
CHANNEL = f"book.{NAME}.100ms"
NEVER_MS = 3_600_000
SNAPSHOT = {
    "timestamp": START_MS + 100,
    "change_id": 1,
    "type": "snapshot",
    "instrument_name": NAME,
    "bids": [["new", 83_900.0, 10.0]],
    "asks": [["new", 83_900.5, 20.0]],
}


async def append(worker: Worker, sequence: int, *items: Connected | Notification | Tick) -> None:
    """Append a frame to the feed, and wait until Kafka has it."""
    name = NAME if sequence else ""
    frame = Frame(FRAME_VERSION, name, CHANNEL, "s-1", sequence, list(items))
    written = worker.written
    record = Appended(name.encode(), encode_frame(frame))
    await (await written.feed.append(written.partition_of(NAME), [record]))


async def test_what_has_closed_is_sent_before_any_checkpoint(installation: Settings) -> None:
    await ensure_topics(installation)
    worker = Worker(installation, Books, History, checkpoint_ms=NEVER_MS)
    written, app = worker.written, worker.app
    async with running(worker):
        await until("owned", lambda: len(written.books.partitions) == installation.partitions)
        await until("flowing", lambda: app.consumer.flow_active)
        await append(worker, 1, Connected(1, "worker-1", True), message(CHANNEL, SNAPSHOT))
        await append(worker, 0, Tick(3, START_MS + 5_000, 0))
        partition = written.history.partitions[written.partition_of(NAME)]
        await until("in the history", lambda: partition.states)
        assert await commits(installation) == 0
