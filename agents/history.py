"""closed → history: keeps the last windows of each length, for the views.

in   closed     closed windows of a partition, many in one record
state           table `history`, in chunks

Not from `windows`: Faust's cost is per record, and there is one for each window.
"""

from __future__ import annotations

import logging
from typing import Any

from app.state.history_chunks import CHUNK_WINDOWS, Chunk, chunk_key, chunk_number, chunks_kept
from app.state.written import WrittenState
from app.worker import Steelyard
from faust_exact.partition import Partition
from faust_exact.record_batch import Record
from models.closed import ClosedWindow, decode_closed
from orderbook.windows.span import Span

log = logging.getLogger("steelyard.history")


class History:
    """The agent: puts each window into its chunk, and lets old chunks go."""

    def __init__(self, app: Steelyard, written: WrittenState) -> None:
        self._app = app
        self._written = written
        self._keeper = written.history
        self._kept = chunks_kept(app.options.history)

    def register(self) -> None:
        """Add the agent to the app."""
        self._written.closed_windows.register()
        topic = self._app.input_topic("closed")
        self._app.agent(topic, name="history", concurrency=1)(self.process)

    async def process(self, stream: Any) -> None:
        """Keep the windows of the topic."""
        await self._keeper.process(stream, self.take)

    async def take(self, partition: Partition[Chunk], record: Record) -> None:
        """Keep the windows of a record."""
        try:
            windows = decode_closed(record.value or b"")
        except ValueError as error:
            log.warning("closed, offset %d: %s", record.offset, error)
            return
        for window in windows:
            self.add(partition, record.offset, window)

    def add(self, partition: Partition[Chunk], offset: int, window: ClosedWindow) -> None:
        """Keep a window."""
        span = Span(window.length_ms, window.hop_ms)
        number = chunk_number(window.instrument, window.start_ms, span)
        key = chunk_key(window.instrument, span, number)
        chunk = self._keeper.state(partition, key)
        if chunk is not None and chunk.position > offset + 1:
            # Read again after a restart; what the chunk made expire may have come back with it.
            self.expire(partition, offset, window.instrument, span, number - self._kept)
            return
        if chunk is None:
            chunk = partition.states[key] = Chunk()
            self.expire(partition, offset, window.instrument, span, number - self._kept)
        chunk.windows[window.start_ms] = window.value
        chunk.position = offset + 1
        partition.touch(key, offset)
        if len(chunk.windows) == CHUNK_WINDOWS:
            partition.rewrite([key])
        self._written.saw_window(window.instrument, span, window.start_ms)

    def expire(
        self, partition: Partition[Chunk], offset: int, instrument: str, span: Span, number: int
    ) -> None:
        """Delete the chunks up to a number: one, or many if there were no windows for long.

        Numbers have the same digits for centuries, so their order is that of the keys.
        """
        last = chunk_key(instrument, span, number)
        for key in self._keeper.stored_keys(partition, chunk_key(instrument, span, 0)):
            if key > last:
                break
            partition.states.pop(key, None)
            partition.touch(key, offset)
