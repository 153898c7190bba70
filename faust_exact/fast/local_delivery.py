"""What a worker appended itself is applied as soon as Kafka has it, and is not fetched.

A worker ingests the instruments whose partitions it processes: nearly every frame that it reads
from Kafka it has just written. Kafka's acknowledgement names the offset of a record, and with the
record that is all a fetch would bring. The way to Kafka and back was half of the way from the
socket to the window, and a quarter of the interpreter's time (docs/decisions/0012-loopback.md).

Nothing else changes. A record is applied when Kafka has it, at its offset, and only if that is the
one wanted next (`StateKeeper.take`). Where somebody else has written in between, or what is wanted
is not here any more, it is fetched as before: this is a short way, never the only one.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from faust.types import TP

from faust_exact.partition_states import StateKeeper
from faust_exact.record_batch import Keyed
from faust_exact.time_slice import Turn

log = logging.getLogger("steelyard.loopback")

MAX_WAITING_BYTES: Final = 2 * 1024 * 1024
"""Of a partition, acknowledged and not applied; beyond it the oldest are left to the fetch."""
QUIET_S: Final = 2.0
"""Without a record of our own for so long, a partition is fetched: ticks come once a second, and
what others write is seen only where it stands between two of ours."""


class Appended(NamedTuple):
    """A record that is to be appended, and nothing else."""

    key: bytes | None
    value: bytes | None


class OwnRecord(NamedTuple):
    """A record that Kafka has acknowledged."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(slots=True)
class _Waiting:
    """What was appended to a partition, and is not applied yet."""

    records: deque[OwnRecord] = field(default_factory=deque)
    size: int = 0
    end: int = 0
    """The offset after the last record that was acknowledged."""
    heard_at: float = 0.0
    """When that was, in monotonic seconds."""
    fetched_at: float = -math.inf
    """When it was found last that the partition must be fetched."""


class Loopback:
    """Hands a keeper the records of its input that this worker has appended."""

    def __init__(self, keeper: StateKeeper[Any], codec: int) -> None:
        self.keeper = keeper
        self._codec = codec
        keeper.loopback = self
        self.applied = 0
        """Records that were applied without a fetch."""
        self.rests = asyncio.Event()
        """Set while all that has come is applied, as far as it can be."""
        self.rests.set()
        self._waiting: dict[int, _Waiting] = {}
        self._wanted = asyncio.Event()

    def register(self) -> None:
        """Have the app apply what comes, and look at what is quiet, once it runs."""
        for task in (self.run, self.watch):
            self.keeper.app.task(task)

    # For who appends

    async def append(self, number: int, records: Sequence[Keyed]) -> asyncio.Future[Any]:
        """Append records to a partition of the input; wait while what was before has not gone.

        The future is done when Kafka has all of them, and fails if Kafka has not.
        """
        producer = self.keeper.app.producer
        futures: list[asyncio.Future[Any]] = []
        rest = records
        while rest:
            batch = producer.create_batch(self._codec)
            taken = 0
            for record in rest:  # the first has room, whatever it is
                if batch.append(timestamp=None, key=record.key, value=record.value) is None:
                    break
                taken += 1
            future = await producer.send_batch(self.keeper.topic, number, batch)
            future.add_done_callback(partial(self._acknowledged, number, rest[:taken]))
            futures.append(future)
            rest = rest[taken:]
        return futures[0] if len(futures) == 1 else asyncio.gather(*futures)

    def _acknowledged(
        self, number: int, records: Sequence[Keyed], future: asyncio.Future[Any]
    ) -> None:
        if not future.cancelled() and future.exception() is None:
            self._appended(number, future.result().offset, records)

    def _appended(self, number: int, first: int, records: Sequence[Keyed]) -> None:
        """Take note that Kafka has these records, in a row from an offset of a partition on."""
        if number not in self.keeper.partitions:
            return
        waiting = self._waiting.setdefault(number, _Waiting())
        for offset, record in enumerate(records, first):
            own = OwnRecord(self.keeper.topic, number, offset, record.key, record.value)
            waiting.records.append(own)
            waiting.size += len(own.value or b"")
        while waiting.size > MAX_WAITING_BYTES:
            waiting.size -= len(waiting.records.popleft().value or b"")
        waiting.end = first + len(records)
        waiting.heard_at = time.monotonic()
        self._wanted.set()

    # For the consumer

    def wake(self) -> None:
        """Look again: something was applied that came by a fetch."""
        if self._waiting:
            self._wanted.set()

    def forget(self) -> None:
        """Begin anew: the positions are others, and the consumer fetches all partitions again."""
        self._waiting.clear()

    def end(self, tp: TP) -> int:
        """Return the offset after our last record of a partition; 0 if there was none."""
        waiting = self._waiting.get(tp.partition)
        return 0 if waiting is None or not self.keeper.wants(tp) else waiting.end

    # The work

    async def run(self) -> None:
        """Apply what has come, again and again."""
        app = self.keeper.app
        while not app.should_stop:
            await self._wanted.wait()
            self._wanted.clear()
            self.rests.clear()
            turn = Turn()
            for number in list(self._waiting):
                await self._apply(number, turn)
            self.rests.set()

    async def watch(self) -> None:
        """Have fetched what has been quiet, again and again: others may have written there."""
        app = self.keeper.app
        while not app.should_stop:
            await app.sleep(QUIET_S)
            now = time.monotonic()
            for number, waiting in self._waiting.items():
                if now - waiting.heard_at >= QUIET_S:
                    self._fetch(self.keeper.input_tp(number), "it is quiet")

    async def _apply(self, number: int, turn: Turn) -> None:
        """Apply what follows the position of a partition."""
        keeper = self.keeper
        partition, waiting = keeper.partitions.get(number), self._waiting.get(number)
        if partition is None or waiting is None:
            return
        records = waiting.records
        while records and records[0].offset <= partition.position and self._may_apply():
            record = records.popleft()
            waiting.size -= len(record.value or b"")
            self.applied += await keeper.take(record)
            if turn.is_over:
                await turn.pause()
        if not self._may_apply() or self._waiting.get(number) is not waiting:
            return  # a rebalance came meanwhile
        tp = keeper.input_tp(number)
        if partition.position != waiting.end:
            self._fetch(tp, f"of what follows {partition.position} the first is not ours")
        elif tp not in self._unfetched and time.monotonic() - waiting.fetched_at >= QUIET_S:
            keeper.app.consumer.leave_out(tp)

    @property
    def _unfetched(self) -> Set[TP]:
        unfetched: Set[TP] = self.keeper.app.consumer.unfetched
        return unfetched

    def _may_apply(self) -> bool:
        return bool(self.keeper.app.consumer.flow_active)

    def _fetch(self, tp: TP, why: str) -> None:
        """Fetch a partition again, from its position on; the consumer does it between fetches."""
        partition, waiting = self.keeper.partitions.get(tp.partition), self._waiting[tp.partition]
        if tp in self._unfetched and partition is not None and not partition.is_reread:
            log.debug("%s-%d is fetched again: %s", tp.topic, tp.partition, why)
            partition.is_reread = True
            waiting.fetched_at = time.monotonic()
