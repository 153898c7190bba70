"""live → latest: every worker knows the current state of all instruments.

in   live       what changed in a partition, key partition
out  table `latest`, global: one value per partition, the states of all its instruments
"""

from __future__ import annotations

import logging
from typing import Any

from app.state.latest_states import key_of
from app.worker import Steelyard

log = logging.getLogger("steelyard.latest")


def register(app: Steelyard) -> None:
    """Add the agent, and the timer that writes what it reads."""
    states = app.shared.latest
    live = app.topic_name("live")

    @app.agent(app.raw_topic("live"), name="latest", concurrency=1)  # type: ignore[untyped-decorator]
    async def latest(stream: Any) -> None:
        async for event in stream.events():
            value = event.value or b""
            try:
                record = states.decode(event.key, value)
            except ValueError as error:
                log.warning("live, offset %d: %s", event.message.offset, error)
                continue
            states.take(event.key, record, round(event.message.timestamp * 1_000))

    @app.timer(app.options.live_interval_ms / 1_000, name="live")  # type: ignore[untyped-decorator]
    async def publish() -> None:
        async for record in app.shared.changed_states():
            key = key_of(record.partition)
            await app.producer.send(live, key, states.encode(record), record.partition, None, None)
