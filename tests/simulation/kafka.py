"""A simulated Kafka: logs that compaction and retention shorten, and one consumer group.

An append takes a simulated while to land, its acknowledgement another; it may land twice, or fail
with or without having landed. What a process had on its way lands although the process is gone.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from faust.types import TP

COMPACTION_LAG_S: Final = 20.0
"""Records younger than this are never compacted: `min.compaction.lag.ms` of the changelogs, which
is longer than any worker goes on after it has lost its partitions."""

MAX_DELAY_S: Final = 6.0
"""The client gives a request up later than this, so no message takes longer and still arrives."""


class Stored(NamedTuple):
    """A record in a log."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    at_s: float


@dataclass(slots=True)
class Log:
    """The records of one partition that are still there, by offset."""

    records: list[Stored] = field(default_factory=list)
    first: int = 0
    end: int = 0

    def from_offset(self, offset: int, limit: int) -> list[Stored]:
        """Return the next records from an offset on; compaction may have taken some."""
        found = [record for record in self.records if record.offset >= offset]
        return found[:limit]


class AppendFailed(Exception):
    """An append was not acknowledged; whether it has landed is unknown to its sender."""


class SimulatedKafka:
    """Topics and the wire to them."""

    def __init__(self, random: Random, note: Callable[..., None]) -> None:
        self.random = random
        self.note = note
        self.logs: defaultdict[TP, Log] = defaultdict(Log)
        self.committed: dict[TP, int] = {}
        self.on_landed: Callable[[Stored], None] = lambda record: None
        self.slowness = 1.0
        self.failing = 0.0
        """Share of appends that fail."""
        self.repeating = 0.0
        """Share of appends that land twice, as a retry after a lost acknowledgement does."""
        self._lands_at: dict[tuple[object, TP], float] = {}

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def delay_s(self) -> float:
        """Return how long a message takes: milliseconds, and now and then much longer."""
        usual = self.random.uniform(0.001, 0.008)
        rare = 200.0 if self.random.random() < 0.01 else 1.0
        return min(usual * self.slowness * rare, MAX_DELAY_S)

    def append(self, tp: TP, pairs: Sequence[tuple[bytes | None, bytes | None]]) -> int:
        """Append records at once; return the offset of the first."""
        log = self.logs[tp]
        first = log.end
        for key, value in pairs:
            record = Stored(tp.topic, tp.partition, log.end, key, value, self.now_s)
            log.records.append(record)
            log.end += 1
            self.on_landed(record)
        return first

    def send(
        self,
        sender: object,
        tp: TP,
        pairs: Sequence[tuple[bytes | None, bytes | None]],
        answer: Callable[[Callable[[], None]], None],
    ) -> asyncio.Future[Any]:
        """Put records on the wire; those of one sender and partition land in their order.

        `answer` hands a callback to the sender's process, which may be paused, or gone.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        wire = sender, tp
        lands_at = max(self._lands_at.get(wire, 0.0), loop.time() + self.delay_s())
        self._lands_at[wire] = lands_at
        fails = self.random.random() < self.failing
        is_lost = fails and self.random.random() < 0.5
        repeats = 1 + (self.random.random() < self.repeating)

        def land() -> None:
            offset = -1
            for _ in range(0 if is_lost else repeats):
                offset = self.append(tp, pairs)
            loop.call_later(self.delay_s(), answer, lambda: acknowledge(offset))

        def acknowledge(offset: int) -> None:
            if future.done():
                return
            if fails:
                self.note("append fails", tp, "lost" if is_lost else f"landed at {offset}")
                future.set_exception(AppendFailed(f"{tp}"))
            else:
                future.set_result(SimpleNamespace(offset=offset))

        loop.call_at(lands_at, land)
        return future

    def compact(self, topic: str) -> None:
        """Keep the last record of each key, except of what is younger than the lag."""
        for tp, log in self.logs.items():
            if tp.topic != topic:
                continue
            last = {record.key: record.offset for record in log.records}
            log.records = [
                record
                for record in log.records
                if record.offset == last[record.key] or self.now_s - record.at_s < COMPACTION_LAG_S
            ]

    def truncate(self, tp: TP, first: int) -> None:
        """Delete the records before an offset, as retention does."""
        log = self.logs[tp]
        log.first = max(log.first, min(first, log.end))
        log.records = [record for record in log.records if record.offset >= log.first]


class Batch:
    """Records that go together; few fit, so that batches fill."""

    def __init__(self, room: int) -> None:
        self.pairs: list[tuple[bytes | None, bytes | None]] = []
        self._room = room

    def append(
        self, *, timestamp: int | None, key: bytes | None, value: bytes | None
    ) -> object | None:
        """Append a record; return None if there is no room for it. The first has room."""
        if len(self.pairs) >= self._room:
            return None
        self.pairs.append((key, value))
        return self.pairs
