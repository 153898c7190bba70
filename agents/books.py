"""feed → books: applies frames to the state of their instrument and publishes what closes.

in   feed       frames, key instrument
out  windows    one record per closed window, key instrument
     closed     the same windows, many in one record, for the history
     refused    what was not understood, key instrument
     control    requests for a new snapshot, key instrument
state           table `books`, one record per instrument
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from app.processing.processor import Outcome, Processor
from app.worker import Steelyard
from faust_exact.fast.local_delivery import Appended
from faust_exact.fast.output_batches import Batches
from faust_exact.partition import Partition
from faust_exact.record_batch import Record
from models.closed import ClosedWindow, encode_closed
from models.control import ResyncRequest, encode_resync
from models.frame import Frame, decode_frame
from models.refused import refused_record
from models.window import encode_window

log = logging.getLogger("steelyard.books")


def register(app: Steelyard) -> None:
    """Add the agent to the app."""
    keeper = app.shared.books
    refused, control = (app.topic_name(name) for name in ("refused", "control"))
    closed = app.shared.closed_windows
    windows = Batches(keeper, app.topic_name("windows"))
    has_closed = asyncio.Event()
    app.task(windows.run)
    app.shared.feed.register()

    @app.agent(app.input_topic("feed"), name="books", concurrency=1)  # type: ignore[untyped-decorator]
    async def books(stream: Any) -> None:
        await keeper.process(stream, take)

    async def take(partition: Partition[Processor], record: Record) -> None:
        offset = record.offset
        try:
            frame = decode_frame(record.value or b"")
            states = addressed(partition, frame)
        except ValueError as error:
            app.shared.metrics.refused(str(error))
            await send(partition, refused, record.key, poison(record, str(error)))
            return
        told = len(record.value or b"") if frame.sequence else 0
        for state in states:
            if state.position <= offset:
                await publish(partition, record, frame, state, state.feed(frame))
                state.position = offset + 1
                partition.touch(state.name.encode(), offset, told)
        app.shared.heard(partition.number, frame)

    def addressed(partition: Partition[Processor], frame: Frame) -> list[Processor]:
        """Return whom a frame is for; raise ValueError if its instrument belongs elsewhere.

        A producer with a partitioner other than Kafka's own would bring an instrument into being
        a second time, which nobody subscribes to and which would wait for its book for ever.
        """
        if not frame.sequence:
            return list(partition.states.values())
        key = frame.instrument.encode()
        state = partition.states.get(key)
        if state is None:
            home = app.shared.partition_of(frame.instrument)
            if home != partition.number:
                raise ValueError(f"not a frame of here: {frame.instrument} is in partition {home}")
            state = partition.states[key] = Processor(frame.instrument, app.shared.rules)
        return [state]

    async def publish(
        partition: Partition[Processor],
        source: Record,
        frame: Frame,
        state: Processor,
        outcome: Outcome,
    ) -> None:
        key = state.name.encode()
        is_behind = bool(outcome.windows) and app.shared.is_behind(frame)
        for record in outcome.windows:
            if source.offset < state.inexact_until and record["status"] == "complete":
                record["status"] = "gap"
            value = encode_window(record)
            await windows.add(partition, key, value, is_behind=is_behind)
            length_ms = record["length_ms"]
            hop_ms = record.get("hop_ms", length_ms)
            window = ClosedWindow(state.name, length_ms, hop_ms, record["start_ms"], value)
            await keeper.later(partition, window)
            has_closed.set()
            app.shared.closed(partition.number, window, record)
        for place, reason, message in outcome.refused:
            value = refused_record(
                reason=reason,
                instrument=state.name,
                session=frame.session,
                topic=source.topic,
                partition=source.partition,
                offset=source.offset,
                place=place,
                message=message,
            )
            app.shared.metrics.refused(reason)
            if not state.is_served:
                log.warning("%s (feed-%d, offset %d)", reason, source.partition, source.offset)
            await send(partition, refused, key, value)
        if outcome.needs_resync:
            log.warning("%s does not follow: asking for a snapshot", state.name)
            request = ResyncRequest(instrument=state.name, session=frame.session)
            await send(partition, control, key, encode_resync(request))
        elif outcome.is_of_ended:
            # Late, of a worker that is gone; or of the one that ingests, and it has to know.
            request = ResyncRequest(state.name, frame.session, is_ended=True)
            await send(partition, control, key, encode_resync(request))

    async def send_later(partition: Partition[Processor]) -> None:
        await windows.send(partition)
        value = encode_closed(partition.later)  # never more than one record should hold
        partition.sent.append(await closed.append(partition.number, [Appended(None, value)]))

    @app.task  # type: ignore[untyped-decorator]
    async def flush() -> None:
        """Send what has closed when a while has passed since the first of it.

        Windows end together. A timer would cut them in two now and then, and send half of them
        while the other half is just being closed.
        """
        while not app.should_stop:
            await has_closed.wait()
            await app.sleep(app.options.live_interval_ms / 1_000)
            if app.should_stop:
                return  # the last checkpoint sends what there is
            has_closed.clear()
            await keeper.flush()

    keeper.send_later = send_later

    async def send(
        partition: Partition[Processor], topic: str, key: bytes | None, value: bytes
    ) -> None:
        future = await app.producer.send(topic, key, value, partition.number, None, None)
        partition.sent.append(future)

    def poison(record: Record, reason: str) -> bytes:
        log.warning("%s-%d, offset %d: %s", record.topic, record.partition, record.offset, reason)
        return refused_record(
            reason=reason,
            instrument=(record.key or b"").decode("utf-8", "replace"),
            session="",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            place=0,
            message=record.value or b"",
        )
