"""windows → history: keeps the last windows of each length, for the views.

in   windows    closed windows, key instrument
state           table `history`, in chunks
"""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
from faust.types import EventT

from app.exact.partition import Partition
from app.history_codec import Chunk, chunk_key, chunk_number, chunks_kept
from app.worker import Steelyard

log = logging.getLogger("steelyard.history")

CHECKPOINT_S: Final = 10.0
"""Chunks grow by one window a second and are written whole: ten at a time cost a tenth. What is
not yet written is replayed from `windows`, where a repeat changes nothing."""


class _Key(msgspec.Struct):
    instrument: str
    length_ms: int
    start_ms: int


_decoder = msgspec.json.Decoder(_Key)


def register(app: Steelyard) -> None:
    """Add the agent to the app."""
    keeper = app.shared.history
    kept = chunks_kept(app.options.history)

    @app.agent(app.raw_topic("windows"), name="history", concurrency=1)  # type: ignore[untyped-decorator]
    async def history(stream: Any) -> None:
        async for event in stream.events():
            partition = keeper.accept(event)
            if partition is None:
                continue
            async with keeper.applying(partition, event):
                try:
                    add(partition, _decoder.decode(event.value or b""), event)
                except msgspec.MsgspecError as error:
                    log.warning("windows, offset %d: %s", event.message.offset, error)

    def add(partition: Partition[Chunk], window: _Key, event: EventT) -> None:
        offset = event.message.offset
        number = chunk_number(window.start_ms, window.length_ms)
        key = chunk_key(window.instrument, window.length_ms, number)
        chunk = keeper.state(partition, key)
        if chunk is None:
            chunk = partition.states[key] = {}
            expired = chunk_key(window.instrument, window.length_ms, number - kept)
            partition.states.pop(expired, None)
            partition.touch(expired, offset)
        chunk[window.start_ms] = event.value
        partition.touch(key, offset)
        app.shared.saw_window(window.instrument, window.length_ms, window.start_ms)
