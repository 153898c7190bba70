"""feed → books: applies frames to the state of their instrument and publishes what closes.

in   feed       frames, key instrument
out  windows    one record per closed window, key instrument
     closed     the same windows, many in one record, for the history
     refused    what was not understood, key instrument
     control    requests for a new snapshot, key instrument
state           table `books`, one record per instrument
"""

from __future__ import annotations

import logging
from typing import Any, Final

from faust.types import EventT

from app.exact.partition import Partition
from app.processor import Outcome, Processor
from app.worker import Steelyard
from models.closed import ClosedWindow, encode_closed
from models.control import ResyncRequest, encode_resync
from models.frame import Frame, decode_frame
from models.refused import refused_record
from models.window import encode_window

log = logging.getLogger("steelyard.books")

MAX_CLOSED: Final = 1_000
"""Windows in one record of `closed`; each has 1 to 2 kB."""


def register(app: Steelyard) -> None:
    """Add the agent to the app."""
    keeper = app.shared.books
    windows, closed, refused, control = (
        app.topic_name(name) for name in ("windows", "closed", "refused", "control")
    )

    @app.agent(app.raw_topic("feed"), name="books", concurrency=1)  # type: ignore[untyped-decorator]
    async def books(stream: Any) -> None:
        async for event in stream.events():
            partition = keeper.accept(event)
            if partition is not None:
                async with keeper.applying(partition, event):
                    await take(partition, event)

    async def take(partition: Partition[Processor], event: EventT) -> None:
        offset = event.message.offset
        try:
            frame = decode_frame(event.value or b"")
        except ValueError as error:
            app.shared.metrics.refused(str(error))
            await send(partition, refused, event.key, poison(event, str(error)))
            return
        if frame.sequence:
            state = partition.states.get(frame.instrument.encode())
            if state is None:
                state = Processor(frame.instrument, app.shared.rules)
                partition.states[frame.instrument.encode()] = state
            states = [state]
        else:
            states = list(partition.states.values())
        told = len(event.value or b"") if frame.sequence else 0
        for state in states:
            if state.position <= offset:
                await publish(partition, event, frame, state, state.feed(frame))
                state.position = offset + 1
                partition.touch(state.name.encode(), offset, told)
        app.shared.heard(partition.number, frame)

    async def publish(
        partition: Partition[Processor],
        event: EventT,
        frame: Frame,
        state: Processor,
        outcome: Outcome,
    ) -> None:
        key = state.name.encode()
        for record in outcome.windows:
            value = encode_window(record)
            await send(partition, windows, key, value)
            length_ms = record["length_ms"]
            hop_ms = record.get("hop_ms", length_ms)
            window = ClosedWindow(state.name, length_ms, hop_ms, record["start_ms"], value)
            partition.later.append(window)
            app.shared.closed(state.name, record)
        for place, reason, message in outcome.refused:
            value = refused_record(
                reason=reason,
                instrument=state.name,
                session=frame.session,
                topic=event.message.topic,
                partition=event.message.partition,
                offset=event.message.offset,
                place=place,
                message=message,
            )
            app.shared.metrics.refused(reason)
            await send(partition, refused, key, value)
        if outcome.needs_resync:
            log.warning("%s does not follow: asking for a snapshot", state.name)
            request = ResyncRequest(instrument=state.name, session=frame.session)
            await send(partition, control, key, encode_resync(request))

    async def send_closed(partition: Partition[Processor]) -> None:
        for first in range(0, len(partition.later), MAX_CLOSED):
            value = encode_closed(partition.later[first : first + MAX_CLOSED])
            await send(partition, closed, None, value)

    @app.timer(app.options.live_interval_ms / 1_000, name="closed")  # type: ignore[untyped-decorator]
    async def flush() -> None:
        await keeper.flush()

    keeper.send_later = send_closed

    async def send(
        partition: Partition[Processor], topic: str, key: bytes | None, value: bytes
    ) -> None:
        future = await app.producer.send(topic, key, value, partition.number, None, None)
        partition.sent.append(future)

    def poison(event: EventT, reason: str) -> bytes:
        log.warning(
            "%s-%d, offset %d: %s",
            event.message.topic,
            event.message.partition,
            event.message.offset,
            reason,
        )
        return refused_record(
            reason=reason,
            instrument=(event.key or b"").decode("utf-8", "replace"),
            session="",
            topic=event.message.topic,
            partition=event.message.partition,
            offset=event.message.offset,
            place=0,
            message=event.value or b"",
        )
