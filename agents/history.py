"""closed → history: keeps the last windows of each length, for the views.

in   closed     closed windows of a partition, many in one record
state           table `history`, in chunks

Not from `windows`: Faust's cost is per record, and there is one for each window.
"""

from __future__ import annotations

import logging
from typing import Any

from app.state.history_chunks import CHUNK_WINDOWS, Chunk, chunk_key, chunk_number, chunks_kept
from app.worker import Steelyard
from faust_exact.partition import Partition
from faust_exact.record_batch import Record
from models.closed import ClosedWindow, decode_closed
from orderbook.windows.span import Span

log = logging.getLogger("steelyard.history")


def register(app: Steelyard) -> None:
    """Add the agent to the app."""
    keeper = app.shared.history
    kept = chunks_kept(app.options.history)
    app.shared.closed_windows.register()

    @app.agent(app.input_topic("closed"), name="history", concurrency=1)  # type: ignore[untyped-decorator]
    async def history(stream: Any) -> None:
        await keeper.process(stream, take)

    async def take(partition: Partition[Chunk], record: Record) -> None:
        try:
            windows = decode_closed(record.value or b"")
        except ValueError as error:
            log.warning("closed, offset %d: %s", record.offset, error)
            return
        for window in windows:
            add(partition, record.offset, window)

    def add(partition: Partition[Chunk], offset: int, window: ClosedWindow) -> None:
        span = Span(window.length_ms, window.hop_ms)
        number = chunk_number(window.instrument, window.start_ms, span)
        key = chunk_key(window.instrument, span, number)
        chunk = keeper.state(partition, key)
        if chunk is not None and chunk.position > offset + 1:
            # Read again after a restart; what the chunk made expire may have come back with it.
            expire(partition, offset, window.instrument, span, number - kept)
            return
        if chunk is None:
            chunk = partition.states[key] = Chunk()
            expire(partition, offset, window.instrument, span, number - kept)
        chunk.windows[window.start_ms] = window.value
        chunk.position = offset + 1
        partition.touch(key, offset)
        if len(chunk.windows) == CHUNK_WINDOWS:
            partition.rewrite([key])
        app.shared.saw_window(window.instrument, span, window.start_ms)

    def expire(
        partition: Partition[Chunk], offset: int, instrument: str, span: Span, number: int
    ) -> None:
        """Delete the chunks up to a number: one, or many if there were no windows for long.

        Numbers have the same digits for centuries, so their order is that of the keys.
        """
        last = chunk_key(instrument, span, number)
        for key in keeper.stored_keys(partition, chunk_key(instrument, span, 0)):
            if key > last:
                break
            partition.states.pop(key, None)
            partition.touch(key, offset)
