"""venue → feed: a worker ingests the instruments of the partitions it owns.

in   subscriptions   what to ingest besides the default set, key instrument
     control         requests for a new snapshot, key instrument
out  feed            frames, key instrument
     refused         messages that are none of the venue's
state                table `subscriptions`, co-partitioned with `feed`
"""

from __future__ import annotations

import logging
from typing import Any

from app.ingest.service import Ingest
from app.state.written import WrittenState
from app.worker import Steelyard
from models.control import decode_resync
from models.subscription import decode_subscription

log = logging.getLogger("steelyard.ingest")


def ingest_service(app: Steelyard, written: WrittenState) -> Ingest | None:
    """Return the service that holds the sockets; None where this worker does not ingest."""
    if not app.options.ingest:
        return None
    refused = app.topic_name("refused")

    async def publish_refused(key: bytes, value: bytes) -> None:
        await (await app.producer.send(refused, key, value, None, None, None))

    return Ingest.from_settings(
        app.options,
        publish=written.feed.append,
        publish_refused=publish_refused,
        partition_of=written.partition_of,
        followed_before=written.followed,
        delay_ms=lambda: written.delay_ms,
    )


class Subscriptions:
    """The agents that tell the service what to ingest."""

    def __init__(self, app: Steelyard, written: WrittenState, ingest: Ingest | None) -> None:
        self._app = app
        self._written = written
        self._ingest = ingest
        self._table = app.raw_table("subscriptions")

    def register(self) -> None:
        """Add the agents, and the start of the service."""
        app = self._app
        topic = app.raw_topic("subscriptions")
        app.agent(topic, name="subscriptions", concurrency=1)(self.subscriptions)
        app.agent(app.raw_topic("control"), name="control", concurrency=1)(self.control)
        if self._ingest is not None:
            app.task(self.start)

    async def subscriptions(self, stream: Any) -> None:
        """Keep what is to be ingested, and ingest it."""
        async for event in stream.events():
            try:
                decode_subscription(event.value)
            except (ValueError, TypeError) as error:
                log.warning("subscriptions, offset %d: %s", event.message.offset, error)
                continue
            self._table[event.key] = event.value
            self.apply_overrides()

    async def control(self, stream: Any) -> None:
        """Ask for the snapshots that are wanted."""
        async for event in stream.events():
            try:
                request = decode_resync(event.value or b"")
            except ValueError as error:
                log.warning("control, offset %d: %s", event.message.offset, error)
                continue
            if self._ingest is not None:
                name, session = request.instrument, request.session
                self._ingest.resync(name, session, is_ended=request.is_ended)

    async def start(self) -> None:
        """Start to ingest what is owned, and follow each new assignment."""
        assert self._ingest is not None
        self._written.books.on_settled.append(self.assign)
        self.assign()
        await self._app.add_runtime_dependency(self._ingest)

    def assign(self) -> None:
        """Ingest what this worker owns.

        Only when an assignment is settled: what is given up and taken again at once would be
        unsubscribed and subscribed, with a break in its windows.
        """
        if self._ingest is not None:
            self.apply_overrides()
            self._ingest.assign(set(self._written.books.partitions))

    def apply_overrides(self) -> None:
        """Tell the service what the table says."""
        if self._ingest is None:
            return
        for value in list(self._table.values()):
            subscription = decode_subscription(value)
            self._ingest.override(subscription.instrument, subscription.enabled)
