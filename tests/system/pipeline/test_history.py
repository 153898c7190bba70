"""The history: chunks leave memory when they are full, and the disk when they are old."""

from __future__ import annotations

import pytest

from agents.history import History
from app.settings import Settings
from app.state.history_chunks import CHUNK_WINDOWS, Chunk, chunk_key, chunk_number, chunks_kept
from app.topics.admin import ensure_topics
from faust_exact.fast.local_delivery import Appended
from faust_exact.partition_states import StateKeeper
from models.closed import ClosedWindow, encode_closed
from orderbook.windows.span import Span
from tests.faust_exact.counting import running, until
from tests.harness.in_process import Worker
from tests.processing.market import START_MS

pytestmark = pytest.mark.timeout(120)

NAME = "BTC-PERPETUAL"
SECOND = Span.tumbling(1_000)
NEVER_MS = 3_600_000
FIRST = chunk_number(NAME, START_MS, SECOND)
CHUNK_MS = CHUNK_WINDOWS * SECOND.hop_ms
BEGIN_MS = next(
    start
    for start in range(START_MS // 1_000 * 1_000 - CHUNK_MS, START_MS + 1_000, SECOND.hop_ms)
    if chunk_number(NAME, start, SECOND) == FIRST
)
"""Where the first chunk begins, which is another place for each instrument."""
KEPT_WINDOWS = 20


def key(number: int) -> bytes:
    return chunk_key(NAME, SECOND, FIRST + number)


class Kept:
    """The history of one instrument, in a worker."""

    def __init__(self, installation: Settings) -> None:
        self.worker = Worker(
            installation, History, checkpoint_ms=NEVER_MS, history=KEPT_WINDOWS, windows=(1_000,)
        )
        self.written = self.worker.written
        self.number = self.written.partition_of(NAME)

    @property
    def keeper(self) -> StateKeeper[Chunk]:
        return self.written.history

    async def append(self, chunk: int, windows: range) -> None:
        """Close windows of a chunk, and wait until the history has them."""
        starts = [BEGIN_MS + chunk * CHUNK_MS + each * SECOND.hop_ms for each in windows]
        value = encode_closed([ClosedWindow(NAME, *SECOND, start, b"{}") for start in starts])
        record = Appended(NAME.encode(), value)
        await (await self.written.closed_windows.append(self.number, [record]))
        await until("in the history", lambda: starts[-1] in self.peek(chunk))

    def peek(self, chunk: int) -> dict[int, bytes]:
        found = self.keeper.peek(self.number, key(chunk))
        return {} if found is None else found.windows

    def windows(self) -> tuple[int | None, int]:
        """Return from when on windows are kept, and how many are answered of all time."""
        found = self.worker.read.windows(NAME, SECOND, 0, 10**15, 10**6)
        return self.worker.read.kept_from_ms(NAME, SECOND), len(found)

    def on_disk(self) -> list[bytes]:
        return list(self.keeper.store.keys(self.number, b""))


async def test_a_chunk_is_written_when_it_is_full_and_then_leaves_memory(
    installation: Settings,
) -> None:
    await ensure_topics(installation)
    kept = Kept(installation)
    async with running(kept.worker):
        await until("owned", lambda: kept.number in kept.keeper.partitions)
        partition = kept.keeper.partitions[kept.number]
        await kept.append(0, range(CHUNK_WINDOWS - 1))
        await kept.keeper.checkpoint(kept.number)
        assert kept.on_disk() == []
        await kept.append(0, range(CHUNK_WINDOWS - 1, CHUNK_WINDOWS))
        await kept.append(1, range(1))
        await kept.keeper.checkpoint(kept.number)
        assert kept.on_disk() == [key(0)]
        assert list(partition.states) == [key(1)]
        assert len(kept.peek(0)) == CHUNK_WINDOWS


async def test_what_is_old_is_deleted_also_where_windows_were_missing(
    installation: Settings,
) -> None:
    await ensure_topics(installation)
    kept = Kept(installation)
    chunks = chunks_kept(KEPT_WINDOWS)
    async with running(kept.worker):
        await until("owned", lambda: kept.number in kept.keeper.partitions)
        assert kept.windows() == (None, 0)
        for number in (0, 1, chunks):
            await kept.append(number, range(CHUNK_WINDOWS))
            assert kept.windows()[1] == CHUNK_WINDOWS * (1 + (number > 0))
            await kept.keeper.checkpoint(kept.number, whole=True)
        assert kept.on_disk() == [key(1), key(chunks)]
        assert kept.windows() == (BEGIN_MS + CHUNK_MS, 2 * CHUNK_WINDOWS)
        kept.written.newest.clear()  # as after a restart, before a window closes
        assert kept.windows() == (BEGIN_MS + CHUNK_MS, 2 * CHUNK_WINDOWS)
        await kept.append(10 * chunks, range(3, CHUNK_WINDOWS))
        await kept.keeper.checkpoint(kept.number, whole=True)
        assert kept.on_disk() == [key(10 * chunks)]
        begin_ms = BEGIN_MS + 10 * chunks * CHUNK_MS + 3 * SECOND.hop_ms
        assert kept.windows() == (begin_ms, CHUNK_WINDOWS - 3)
        assert kept.peek(1) == {}
