"""Checkpoints: the states of a partition go to the changelog, then to the table, then the commit.

What is written is of a known position and whole: made between events, under the lock of the
partition, in turns, and acknowledged by Kafka before anything that it includes is committed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from app.exact.partition import MAX_LATER, Partition, Unwritten
from app.turns import Turn

if TYPE_CHECKING:
    from app.exact.keeper import StateKeeper

log = logging.getLogger("steelyard.keeper")

S = TypeVar("S")

MAX_RESENT_RECORDS: Final = 1_000
"""Of states not in memory, so many are written again at a checkpoint after a foreign write."""
INPUT_PER_RECORD: Final = 8
"""A state is written when its input since is this many times its record, if not before: see
docs/decisions/0006-checkpoints.md."""
NO_STATE: Final[bytes] = b""
"""Key of a record without a value, the first of a changelog that has nothing to say yet. Kafka
could not tell it from one that was deleted, and all of the input was computed again each time."""
MAX_RECORD_BYTES: Final = 4 * 1024 * 1024
"""A larger state is not sent: the topic would refuse it, which would stop the worker."""


class Checkpoints(Generic[S]):
    """Writes the states of a keeper."""

    def __init__(self, keeper: StateKeeper[S]) -> None:
        self._keeper = keeper
        self._writing = asyncio.Lock()

    async def write(self, number: int, *, whole: bool) -> int | None:
        """Write what `StateKeeper.checkpoint` says; return and raise as it does."""
        keeper = self._keeper
        async with self._writing:
            partition = keeper.partitions.get(number)
            if partition is None:
                return None
            now = time.monotonic()
            taken: dict[bytes, Unwritten] = {}
            records: dict[bytes, bytes | None] = {}
            sent: list[Awaitable[Any]] = []
            try:
                max_age_s = 0.0 if whole else keeper.max_age_s
                async with partition.whole:
                    due = sorted(partition.due(keeper.input_per_record, max_age_s, now))
                await self._take(partition, due, taken, records)
                async with partition.whole:
                    if not keeper.may_send(partition):
                        partition.put_back(taken)
                        return None
                    # What was sent because of anything that these records include is in `sent`.
                    await self.send_later(partition)
                    sent, partition.sent = partition.sent, []
                    safe = partition.safe_position
                    self._resend(partition, records)
                    if not records and not partition.changelog_next:
                        records[NO_STATE] = None
                await asyncio.gather(*sent)
                if records:
                    await self._append(partition, records)
                    keeper.on_written(keeper.table.name, records.values(), time.monotonic() - now)
                if keeper.is_lazy:
                    for key in taken.keys() - partition.dirty.keys():
                        partition.states.pop(key, None)
                        partition.sizes.pop(key, None)
            except BaseException:
                partition.put_back(taken)
                partition.sent = sent + partition.sent
                raise
        return safe

    async def _take(
        self,
        partition: Partition[S],
        due: Iterable[bytes],
        taken: dict[bytes, Unwritten],
        records: dict[bytes, bytes | None],
    ) -> None:
        """Make the records of the states that are due, in turns, between whole events.

        A state that an event changes after its turn is dirty again, from that event on.
        """
        keys = deque(due)
        while keys and not partition.is_fenced:
            async with partition.whole:
                turn = Turn()
                while keys and not partition.is_fenced:
                    key = keys.popleft()
                    taken[key] = partition.dirty.pop(key)
                    records[key] = self._record(partition, key)
                    if turn.is_over:
                        break
            await turn.pause()

    async def add_later(self, partition: Partition[S], what: Any) -> None:
        """Keep something to be sent later; with that, send it all if it is as much as may wait."""
        partition.later.append(what)
        if len(partition.later) >= MAX_LATER:
            await self.send_later(partition)

    async def send_later(self, partition: Partition[S]) -> None:
        """Send what a partition holds in `later`."""
        keeper = self._keeper
        if partition.later and keeper.send_later is not None:
            await keeper.send_later(partition)
            partition.later.clear()

    def _record(self, partition: Partition[S], key: bytes) -> bytes | None:
        state = partition.states.get(key)
        record = None if state is None else self._keeper.codec.dump(key, state, partition.position)
        if record is not None and len(record) > MAX_RECORD_BYTES:
            raise ValueError(
                f"the state of {key!r} has {len(record)} bytes, more than {MAX_RECORD_BYTES}"
            )
        return record

    def _resend(self, partition: Partition[S], records: dict[bytes, bytes | None]) -> None:
        """Add records of states not in memory that may not be the last of the changelog."""
        for _ in range(min(len(partition.unsure), MAX_RESENT_RECORDS)):
            key = partition.unsure.pop()
            record = self._keeper.store.get_record(partition.number, key)
            if record is not None and key not in partition.states:
                records.setdefault(key, record)

    async def _append(self, partition: Partition[S], records: dict[bytes, bytes | None]) -> None:
        """Append records to the changelog, and put them into the table when Kafka has them."""
        keeper = self._keeper
        tp = keeper.changelog_tp(partition.number)
        futures, turn = [], Turn()
        for key, record in records.items():
            if turn.is_over:
                await turn.pause()
            send = keeper.app.producer.send(tp.topic, key, record, tp.partition, None, None)
            futures.append(await send)
        acknowledged = await asyncio.gather(*futures)
        for key, record in records.items():
            partition.sizes[key] = len(record or b"")
        offsets = [metadata.offset for metadata in acknowledged]
        expected = partition.changelog_next
        is_contiguous = sorted(offsets) == list(range(expected, expected + len(offsets)))
        partition.is_alone &= is_contiguous
        partition.changelog_next = max(offsets) + 1
        # Records that were not read here lie before ours: the next recovery has to begin with
        # them, so the persisted offset stays where it is.
        keeper.store.put_acknowledged(tp, records, max(offsets) if partition.is_alone else None)
        if not is_contiguous:
            # Only the owner writes to the changelog. Somebody else did: a worker that was paused
            # and does not know yet, or we are that worker. The commit that follows tells: if it is
            # refused, nothing more is written; if not, writing every state again makes ours the
            # last of each key.
            keeper.doubt(partition)
            log.warning(
                "%s-%d: another worker wrote to the changelog; writing all states again",
                keeper.table.name,
                partition.number,
            )
