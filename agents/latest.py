"""live → latest: every worker knows the current state of all instruments.

in   live       what changed in a partition, key partition
out  live       what changed in the partitions of this worker, every STEELYARD_LIVE_INTERVAL_MS
     table `latest`, global: one value per partition, the states of all its instruments
"""

from __future__ import annotations

import logging
from typing import Any

from app.state.latest_states import key_of
from app.state.written import WrittenState
from app.worker import Steelyard

log = logging.getLogger("steelyard.latest")


class Latest:
    """The agent, and the timer that writes what it reads."""

    def __init__(self, app: Steelyard, written: WrittenState) -> None:
        self._app = app
        self._written = written
        self._states = written.latest
        self._topic = app.topic_name("live")

    def register(self) -> None:
        """Add the agent and the timer to the app."""
        self._app.agent(self._app.raw_topic("live"), name="latest", concurrency=1)(self.process)
        self._app.timer(self._app.options.live_interval_ms / 1_000, name="live")(self.publish)

    async def process(self, stream: Any) -> None:
        """Take what is told of the partitions into the table."""
        async for event in stream.events():
            value = event.value or b""
            try:
                record = self._states.decode(event.key, value)
            except ValueError as error:
                log.warning("live, offset %d: %s", event.message.offset, error)
                continue
            self._states.take(event.key, record, round(event.message.timestamp * 1_000))

    async def publish(self) -> None:
        """Tell what has changed here."""
        async for record in self._written.changed_states():
            key, value = key_of(record.partition), self._states.encode(record)
            await self._app.producer.send(self._topic, key, value, record.partition, None, None)
