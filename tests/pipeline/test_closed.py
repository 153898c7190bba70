"""Closed windows reach the history soon, not only with the next checkpoint."""

from __future__ import annotations

import json

import pytest

from agents import books, history
from app.exact.loopback import Appended
from app.kafka.processes import free_port
from app.settings import Settings
from app.state import WorkerState
from app.topics import ensure_topics
from app.worker import Steelyard
from models.frame import FRAME_VERSION, Connected, Frame, Notification, Tick, encode_frame
from tests.exact.counting import commits, running, until

pytestmark = pytest.mark.timeout(120)

NAME = "BTC-PERPETUAL"
CHANNEL = f"book.{NAME}.100ms"
START_MS = 1_723_161_600_000
NEVER_MS = 3_600_000
SNAPSHOT = {
    "timestamp": START_MS + 100,
    "change_id": 1,
    "type": "snapshot",
    "instrument_name": NAME,
    "bids": [["new", 83_900.0, 10.0]],
    "asks": [["new", 83_900.5, 20.0]],
}


class Worker:
    """A worker that reads no venue, and has agents for books and history only."""

    def __init__(self, installation: Settings) -> None:
        changed = {"checkpoint_ms": NEVER_MS, "web_port": free_port(), "ingest": False}
        self.app = Steelyard(installation.model_copy(update=changed))
        self.app.shared = WorkerState(self.app)
        for agent in (books, history):
            agent.register(self.app)

    async def append(self, sequence: int, *items: Connected | Notification | Tick) -> None:
        name = NAME if sequence else ""
        frame = Frame(FRAME_VERSION, name, CHANNEL, "s-1", sequence, list(items))
        number = self.app.shared.partition_of(NAME)
        record = Appended(name.encode(), encode_frame(frame))
        await (await self.app.shared.feed.append(number, [record]))


async def test_what_has_closed_is_sent_before_any_checkpoint(installation: Settings) -> None:
    await ensure_topics(installation)
    worker = Worker(installation)
    shared, app = worker.app.shared, worker.app
    message = {"method": "subscription", "params": {"channel": CHANNEL, "data": SNAPSHOT}}
    async with running(worker):
        await until("owned", lambda: len(shared.books.partitions) == installation.partitions)
        await until("flowing", lambda: app.consumer.flow_active)
        await worker.append(
            1, Connected(1, "worker-1", True), Notification(2, json.dumps(message).encode())
        )
        await worker.append(0, Tick(3, START_MS + 5_000, 0))
        partition = shared.history.partitions[shared.partition_of(NAME)]
        await until("in the history", lambda: partition.states)
        assert await commits(installation) == 0
