"""Checkpoints: the states of a partition go to the changelog, then to the table, then the commit.

What is written is of a known position and whole: made between events, under the lock of the
partition, in turns, and acknowledged by Kafka before anything that it includes is committed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from faust_exact.partition import MAX_LATER, Partition, State
from faust_exact.state_record import InvariantBroken, position_of
from faust_exact.time_slice import Turn

if TYPE_CHECKING:
    from faust_exact.partition_states import StateKeeper

log = logging.getLogger("steelyard.keeper")

S = TypeVar("S", bound=State)

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
            if partition.rewound_to is not None:
                # What is computed again is not written before a commit says so: after a crash in
                # between, the changelog would not be empty, and who begins at the old commit would
                # take a state that misses what lies below it for whole.
                return partition.rewound_to if keeper.may_send(partition) else None
            now = time.monotonic()
            records: dict[bytes, bytes | None] = {}
            sent: list[asyncio.Future[Any]] = []
            resent: list[bytes] = []
            try:
                max_age_s = 0.0 if whole else keeper.max_age_s
                async with partition.whole:
                    due = sorted(partition.due(keeper.input_per_record, max_age_s, now))
                await self._take(partition, due, records)
                async with partition.whole:
                    if not keeper.may_send(partition):
                        partition.put_back()
                        return None
                    # What was sent because of anything that these records include is in `sent`.
                    await self.send_later(partition)
                    sent, partition.sent = partition.sent, []
                    safe = partition.safe_position
                    resent = self._resend(partition, records)
                    if not records and not partition.changelog_next:
                        records[NO_STATE] = None
                await acknowledged(sent)
                if not keeper.may_send(partition):  # it was given up meanwhile
                    partition.put_back()
                    return None
                if records:
                    await self._append(partition, records)
                    keeper.on_written(keeper.table.name, records.values(), time.monotonic() - now)
                partition.writing = {}
                if keeper.is_lazy:
                    async with partition.whole:  # whoever has a state may still change it
                        partition.forget_written()
            except BaseException:
                partition.put_back()
                partition.unsure += resent
                partition.sent = sent + partition.sent
                raise
        return safe if keeper.may_send(partition) else None

    async def _take(
        self,
        partition: Partition[S],
        due: Iterable[bytes],
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
                    partition.writing[key] = partition.dirty.pop(key)
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
        if state is None:
            return None
        record = self._keeper.codec.dump(key, state, partition.label(state))
        if record is None:
            return None
        if position_of(record) < state.position:
            raise InvariantBroken(
                f"{key!r}: a record of position {position_of(record)} was made of a state of "
                f"{state.position}"
            )
        if len(record) > MAX_RECORD_BYTES:
            raise ValueError(
                f"the state of {key!r} has {len(record)} bytes, more than {MAX_RECORD_BYTES}"
            )
        return record

    def _resend(self, partition: Partition[S], records: dict[bytes, bytes | None]) -> list[bytes]:
        """Add records that may not be the last of the changelog, as they are in the table.

        Return their keys. What has changed since is written when it is due.
        """
        keys = partition.unsure[-MAX_RESENT_RECORDS:]
        del partition.unsure[-MAX_RESENT_RECORDS:]
        for key in keys:
            record = self._keeper.store.get_record(partition.number, key)
            if record is not None:
                records.setdefault(key, record)
        return keys

    async def _append(self, partition: Partition[S], records: dict[bytes, bytes | None]) -> None:
        """Append records to the changelog, and put them into the table when Kafka has them."""
        keeper = self._keeper
        tp = keeper.changelog_tp(partition.number)
        futures, turn = [], Turn()
        for key, record in records.items():
            if turn.is_over:
                await turn.pause()
            deletion = [None] if key in partition.reset and record is not None else []
            for value in (*deletion, record):
                send = keeper.app.producer.send(tp.topic, key, value, tp.partition, None, None)
                futures.append(await send)
        answers = await acknowledged(futures)
        if not keeper.may_send(partition):
            return  # it was given up meanwhile: by now the table may hold what another one wrote
        for key, record in records.items():
            partition.sizes[key] = len(record or b"")
            partition.reset.discard(key)
        offsets = [metadata.offset for metadata in answers]
        expected = partition.changelog_next
        is_contiguous = sorted(offsets) == list(range(expected, expected + len(offsets)))
        partition.is_alone &= is_contiguous
        partition.changelog_next = max(offsets) + 1
        # If records that were not read here lie before ours, or others are still to be written
        # again, the next recovery has to begin with them: the persisted offset stays where it is.
        is_last = partition.is_alone and not partition.unsure
        keeper.store.put_acknowledged(tp, records, max(offsets) if is_last else None)
        if is_last:
            keeper.store.doubtful.discard(partition.number)
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


async def acknowledged(sent: list[asyncio.Future[Any]]) -> list[Any]:
    """Wait for what was sent; raise if any of it was refused.

    Whoever stops to wait leaves it on its way: `gather` would cancel it, and the next checkpoint
    could neither wait for it nor know whether Kafka has it.
    """
    if sent:
        await asyncio.wait(sent, return_when=asyncio.FIRST_EXCEPTION)
    return [future.result() for future in sent if future.done()]
