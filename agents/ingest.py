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
from app.worker import Steelyard
from models.control import decode_resync
from models.subscription import decode_subscription

log = logging.getLogger("steelyard.ingest")


def register(app: Steelyard) -> None:
    """Add the agents and the service that holds the socket."""
    table = app.raw_table("subscriptions")
    refused = app.topic_name("refused")

    async def publish_refused(key: bytes, value: bytes) -> None:
        await (await app.producer.send(refused, key, value, None, None, None))

    @app.agent(app.raw_topic("subscriptions"), name="subscriptions", concurrency=1)  # type: ignore[untyped-decorator]
    async def subscriptions(stream: Any) -> None:
        async for event in stream.events():
            try:
                decode_subscription(event.value)
            except (ValueError, TypeError) as error:
                log.warning("subscriptions, offset %d: %s", event.message.offset, error)
                continue
            table[event.key] = event.value
            apply_overrides()

    @app.agent(app.raw_topic("control"), name="control", concurrency=1)  # type: ignore[untyped-decorator]
    async def control(stream: Any) -> None:
        async for event in stream.events():
            try:
                request = decode_resync(event.value or b"")
            except ValueError as error:
                log.warning("control, offset %d: %s", event.message.offset, error)
                continue
            if app.shared.ingest is not None:
                app.shared.ingest.resync(
                    request.instrument, request.session, is_ended=request.is_ended
                )

    def apply_overrides() -> None:
        if app.shared.ingest is None:
            return
        for value in list(table.values()):
            subscription = decode_subscription(value)
            app.shared.ingest.override(subscription.instrument, subscription.enabled)

    if not app.options.ingest:
        return

    @app.task  # type: ignore[untyped-decorator]
    async def start_ingest() -> None:
        ingest = Ingest.from_settings(
            app.options,
            publish=app.shared.feed.append,
            publish_refused=publish_refused,
            partition_of=app.shared.partition_of,
        )
        ingest.followed_before = app.shared.followed
        ingest.delay_ms = lambda: app.shared.delay_ms
        app.shared.ingest = ingest

        def assign() -> None:
            # Only when an assignment is settled: what is given up and taken again at once would
            # be unsubscribed and subscribed, with a break in its windows.
            apply_overrides()
            ingest.assign(set(app.shared.books.partitions))

        app.shared.books.on_settled.append(assign)
        assign()
        await app.add_runtime_dependency(ingest)
