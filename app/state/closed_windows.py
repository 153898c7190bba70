"""Gives each closed window to all who want it: topics, push, metrics and the live state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from app.processing.processor import Processor
from app.state.written import WrittenState
from faust_exact.fast.local_delivery import Appended
from faust_exact.partition import Partition
from models.closed import ClosedWindow, encode_closed
from models.window import encode_window


class WindowBatches(Protocol):
    """Puts records of the topic `windows` into batches; faust_exact/fast/output_batches.py."""

    async def add(
        self, partition: Partition[Any], key: bytes | None, value: bytes, *, is_behind: bool
    ) -> None:
        """Append a record; wait if there is no room."""

    async def send(self, partition: Partition[Any]) -> None:
        """Hand over what there is of a partition."""


class ClosedWindows:
    """The one place where a closed window leaves the processing."""

    def __init__(
        self,
        written: WrittenState,
        batches: WindowBatches,
        push: Callable[[ClosedWindow], object] | None = None,
    ) -> None:
        self._written = written
        self._batches = batches
        self._push = push
        """Is told of each window at once, for the clients of this worker."""
        self.has_closed = asyncio.Event()
        """Set when something waits for `send`."""

    async def publish(
        self,
        partition: Partition[Processor],
        instrument: str,
        record: dict[str, Any],
        *,
        is_behind: bool,
    ) -> None:
        """Publish a window; wait if there is no room. The partition has to be held as a whole."""
        value = encode_window(record)
        await self._batches.add(partition, instrument.encode(), value, is_behind=is_behind)
        length_ms = record["length_ms"]
        hop_ms = record.get("hop_ms", length_ms)
        window = ClosedWindow(instrument, length_ms, hop_ms, record["start_ms"], value)
        await self._written.books.later(partition, window)
        self.has_closed.set()
        self._written.closed(partition.number, instrument, record)
        if self._push is not None:
            self._push(window)

    async def send(self, partition: Partition[Processor]) -> None:
        """Send what has been published of a partition, which has to be held as a whole."""
        await self._batches.send(partition)
        value = encode_closed(partition.later)  # never more than one record should hold
        record = Appended(None, value)
        sent = await self._written.closed_windows.append(partition.number, [record])
        partition.sent.append(sent)
