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
from collections.abc import Callable
from typing import Any

from app.processing.processor import Outcome, Processor
from app.state.closed_windows import ClosedWindows
from app.state.written import WrittenState
from app.worker import Steelyard
from faust_exact.fast.output_batches import Batches
from faust_exact.partition import Partition
from faust_exact.record_batch import Record
from models.closed import ClosedWindow
from models.control import ResyncRequest, encode_resync
from models.frame import Frame, decode_frame
from models.refused import refused_record

log = logging.getLogger("steelyard.books")


class Books:
    """The agent: takes each frame to the states that it is for."""

    def __init__(
        self,
        app: Steelyard,
        written: WrittenState,
        push: Callable[[ClosedWindow], object] | None = None,
    ) -> None:
        self._app = app
        self._written = written
        self._keeper = written.books
        self._batches = Batches(written.books, app.topic_name("windows"))
        self._closed = ClosedWindows(written, self._batches, push)
        self._outcomes = OutcomeWriter(app, written, self._closed)
        written.books.send_later = self._closed.send

    def register(self) -> None:
        """Add the agent to the app, and the tasks that send what it wrote."""
        self._app.task(self._batches.run)
        self._written.feed.register()
        self._app.agent(self._app.input_topic("feed"), name="books", concurrency=1)(self.process)
        self._app.task(self.flush)

    async def process(self, stream: Any) -> None:
        """Apply the frames of the feed."""
        await self._keeper.process(stream, self.take)

    async def take(self, partition: Partition[Processor], record: Record) -> None:
        """Apply a frame, and publish what follows from it."""
        try:
            frame = decode_frame(record.value or b"")
            states = addressed(self._written, partition, frame)
        except ValueError as error:
            await self._outcomes.refuse(partition, record, str(error))
            return
        told = len(record.value or b"") if frame.sequence else 0
        for state in states:
            if state.position <= record.offset:
                outcome = state.feed(frame)
                await self._outcomes.write(partition, record, frame, state, outcome)
                state.position = record.offset + 1
                partition.touch(state.name.encode(), record.offset, told)
        self._written.heard(partition.number, frame)

    async def flush(self) -> None:
        """Send what has closed when a while has passed since the first of it.

        Windows end together. A timer would cut them in two now and then, and send half of them
        while the other half is just being closed.
        """
        while not self._app.should_stop:
            await self._closed.has_closed.wait()
            await self._app.sleep(self._app.options.live_interval_ms / 1_000)
            if self._app.should_stop:
                return  # the last checkpoint sends what there is
            self._closed.has_closed.clear()
            await self._keeper.flush()


def addressed(
    written: WrittenState, partition: Partition[Processor], frame: Frame
) -> list[Processor]:
    """Return whom a frame is for; raise ValueError if its instrument belongs elsewhere.

    A producer with a partitioner other than Kafka's own would bring an instrument into being
    a second time, which nobody subscribes to and which would wait for its book for ever.
    """
    if not frame.sequence:
        return list(partition.states.values())
    key = frame.instrument.encode()
    state = partition.states.get(key)
    if state is None:
        home = written.partition_of(frame.instrument)
        if home != partition.number:
            raise ValueError(f"not a frame of here: {frame.instrument} is in partition {home}")
        state = partition.states[key] = Processor(frame.instrument, written.rules)
    return [state]


class OutcomeWriter:
    """Writes the outcome of a frame: windows, what was refused, requests for a snapshot."""

    def __init__(self, app: Steelyard, written: WrittenState, closed: ClosedWindows) -> None:
        self._app = app
        self._written = written
        self._closed = closed
        self._refused, self._control = app.topic_name("refused"), app.topic_name("control")

    async def write(
        self,
        partition: Partition[Processor],
        source: Record,
        frame: Frame,
        state: Processor,
        outcome: Outcome,
    ) -> None:
        """Write what one state made of a frame."""
        is_behind = bool(outcome.windows) and self._written.is_behind(frame)
        for window in outcome.windows:
            if source.offset < state.inexact_until and window["status"] == "complete":
                window["status"] = "gap"
            await self._closed.publish(partition, state.name, window, is_behind=is_behind)
        for place, reason, message in outcome.refused:
            self._written.metrics.refused(reason)
            if not state.is_served:
                log.warning("%s (feed-%d, offset %d)", reason, source.partition, source.offset)
            value = refusal(source, reason, state.name, frame.session, place, message)
            await self._send(partition, self._refused, state.name.encode(), value)
        if outcome.needs_resync:
            log.warning("%s does not follow: asking for a snapshot", state.name)
        if outcome.needs_resync or outcome.is_of_ended:
            # Of an ended session: late, of a worker that is gone; or of the one that ingests, and
            # it has to know.
            is_ended = not outcome.needs_resync
            request = encode_resync(ResyncRequest(state.name, frame.session, is_ended=is_ended))
            await self._send(partition, self._control, state.name.encode(), request)

    async def refuse(self, partition: Partition[Processor], source: Record, reason: str) -> None:
        """Write that a record is no frame of this partition."""
        self._written.metrics.refused(reason)
        log.warning("%s-%d, offset %d: %s", source.topic, source.partition, source.offset, reason)
        name = (source.key or b"").decode("utf-8", "replace")
        value = refusal(source, reason, name, "", 0, source.value or b"")
        await self._send(partition, self._refused, source.key, value)

    async def _send(
        self, partition: Partition[Processor], topic: str, key: bytes | None, value: bytes
    ) -> None:
        future = await self._app.producer.send(topic, key, value, partition.number, None, None)
        partition.sent.append(future)


def refusal(
    source: Record, reason: str, instrument: str, session: str, place: int, message: bytes
) -> bytes:
    """Return the record of a message that was refused, with where it came from."""
    return refused_record(
        reason=reason,
        instrument=instrument,
        session=session,
        topic=source.topic,
        partition=source.partition,
        offset=source.offset,
        place=place,
        message=message,
    )
