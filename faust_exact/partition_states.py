"""The states of an agent's input partitions: in memory, checkpointed, and as of a known position.

The position of a partition is the offset wanted next. Only that offset is applied; a lower one is
included already, a higher one means that something was not delivered and is read again. What is
committed to Kafka is this position, and only after the states that include it are in the changelog.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from faust.types import TP, AppT

from faust_exact.checkpoint import INPUT_PER_RECORD, Checkpoints
from faust_exact.partition import Partition, State
from faust_exact.record_batch import Record
from faust_exact.state_record import BadRecord, InvariantBroken, position_of
from faust_exact.store import StateStore, StateTable

if TYPE_CHECKING:
    from faust_exact.fast.local_delivery import Loopback

log = logging.getLogger("steelyard.keeper")

S = TypeVar("S", bound=State)

REREAD_INTERVAL_S: Final = 1.0
"""At most so often is the same position of a partition read again."""


class Codec(Protocol[S]):
    """How a state becomes a record.

    The position of a record is never below that of the state in it: a record that was labelled too
    low would lose against an older one, and its state would be told again what it includes. Whoever
    dumps and whoever loads checks it.
    """

    def load(self, key: bytes, record: bytes) -> S:
        """Return the state of a record, as of the record's position; raise BadRecord."""

    def dump(self, key: bytes, state: S, position: int) -> bytes | None:
        """Return the record of a state as of a position, which is the state's own or higher.

        None deletes it. Raise ValueError if it is broken.
        """


Written = Callable[[str, Iterable[bytes | None], float], object]
"""Is told of a checkpoint: the table, the records, and how long it took, in seconds."""


Apply = Callable[[Partition[S], Record], Awaitable[object]]
"""Applies a record of the input to the states of its partition, and sends on what follows."""


def _not_measured(table: str, records: Iterable[bytes | None], took_s: float) -> None:
    """Nobody wants to know."""


class StateKeeper(Generic[S]):
    """Holds the states for one agent: `topic` is its input, `table` where they are kept."""

    def __init__(
        self,
        app: AppT,
        topic: str,
        table: StateTable,
        codec: Codec[S],
        *,
        max_age_s: float = 0.0,
        input_per_record: int | None = INPUT_PER_RECORD,
        is_lazy: bool = False,
    ) -> None:
        self.app = app
        self.topic = topic
        self.table = table
        self.codec = codec
        self.max_age_s = max_age_s
        """A changed state is written at the latest after this; with 0 at every checkpoint."""
        self.input_per_record = input_per_record
        """It is written once it was told so many times its record; with None, that is no reason."""
        self.is_lazy = is_lazy
        """States are read when they are asked for, and leave memory when they are written."""
        self.partitions: dict[int, Partition[S]] = {}
        self.apply: Apply[S] | None = None
        """What the agent does with a record, once it runs."""
        self.loopback: Loopback | None = None
        """Gives the records that this worker has appended itself, without a fetch."""
        self.on_settled: list[Callable[[], None]] = []
        self.send_later: Callable[[Partition[S]], Awaitable[None]] | None = None
        """Sends what a partition holds in `later`, its futures into `sent`."""
        self.on_written: Written = _not_measured
        self.on_missed: Callable[[S, int], object] | None = None
        """Is told of a state that misses input which is gone, and of the offset up to which windows
        and the like may have been published before, from all of the input."""
        self._checkpoints = Checkpoints(self)

    # For the agent

    async def process(self, stream: Any, apply: Apply[S]) -> None:
        """Apply the records of an agent's stream, each as a whole, as long as there are any."""
        self.apply = apply
        async for event in stream.events():
            async for record in event.value:
                await self.take(record)

    async def take(self, record: Record) -> bool:
        """Apply a record as a whole, if it is the next one; the position then includes it.

        Return whether it was applied.

        If that fails, or is cancelled, states may include what has not been sent on. Nothing of
        the partition is written any more then, and the worker ends: the record is replayed.
        """
        partition = self.partitions.get(record.partition)
        if partition is None or record.offset < partition.position or self.apply is None:
            return False
        async with partition.whole:
            # A record can come twice, fetched and looped back: who has waited may be the second.
            if not self._is_next(partition, record):
                return False
            try:
                await self.apply(partition, record)
            except BaseException as error:
                partition.is_fenced = True
                if isinstance(error, Exception):
                    log.error(
                        "%s-%d, offset %d, cannot be applied: %r; the worker stops",
                        self.topic,
                        record.partition,
                        record.offset,
                        error,
                    )
                    await self.app.crash(error)
                raise
            partition.position = record.offset + 1
            return True

    def _is_next(self, partition: Partition[S], record: Record) -> bool:
        """Whether a record is the one that is wanted; one beyond it has what is missing reread."""
        if record.offset <= partition.position:
            return record.offset == partition.position
        if not partition.is_reread:
            partition.is_reread = True
            partition.reread_at = max(time.monotonic(), partition.reread_at + REREAD_INTERVAL_S)
            log.info(
                "%s-%d: wanted offset %d, was given %d; reading again",
                self.topic,
                record.partition,
                partition.position,
                record.offset,
            )
        return False

    def state(self, partition: Partition[S], key: bytes) -> S | None:
        """Return the state of a key, from memory or from the table."""
        state = partition.states.get(key)
        if state is None and self.is_lazy and not partition.is_unwritten(key):
            record = self.store.get_record(partition.number, key)
            if record is not None:
                state = self._load_into(partition, key, record)
                partition.rewrite({key} & partition.reset)
        return state

    def peek(self, number: int, key: bytes) -> S | None:
        """Return the state of a key of an owned partition, to be read only."""
        partition = self.partitions.get(number)
        if partition is None:
            return None
        if key in partition.states or not self.is_lazy or partition.is_unwritten(key):
            return partition.states.get(key)
        record = self.store.get_record(number, key)
        return None if record is None else self._load(key, record)

    def stored_keys(self, partition: Partition[S], first: bytes) -> Iterator[bytes]:
        """Iterate over the keys in the table from one on, without those that are deleted."""
        for key in self.store.keys(partition.number, first):
            if key in partition.states or not partition.is_unwritten(key):
                yield key

    # For the consumer

    def wants(self, tp: TP) -> bool:
        """Whether a partition of the input is meant."""
        return bool(tp.topic == self.topic)

    def changelog_tp(self, number: int) -> TP:
        """Return a partition of the changelog."""
        return TP(self.table.changelog_topic.get_topic_name(), number)

    def input_tp(self, number: int) -> TP:
        """Return a partition of the input."""
        return TP(self.topic, number)

    def rereads(self) -> dict[TP, int]:
        """Return the positions to be read again now, by partition, until `reread_done`."""
        now = time.monotonic()
        return {
            TP(self.topic, number): partition.position
            for number, partition in self.partitions.items()
            if partition.is_reread and now >= partition.reread_at
        }

    def is_reread(self, tp: TP) -> bool:
        """Whether what is fetched of a partition will be read again."""
        partition = self.partitions.get(tp.partition)
        return partition is not None and partition.is_reread

    def reread_done(self, tp: TP) -> None:
        """The consumer stands at the wanted position again."""
        partition = self.partitions.get(tp.partition)
        if partition is not None:
            partition.is_reread = False

    async def skip(self, tp: TP, first: int) -> None:
        """Go on at the first offset that there is: what was wanted is not there any more."""
        partition = self.partitions.get(tp.partition)
        if partition is None:
            return
        async with partition.whole:
            if partition.position < first:
                self._say_expired(partition.number, partition.position, first)
                partition.position = first
                self._miss(partition, first)

    def _say_expired(self, number: int, wanted: int | None, first: int) -> None:
        log.warning(
            "%s-%d: %s was wanted, but the topic begins at %d: records expired before they were "
            "processed, and what was in them is missing",
            self.topic,
            number,
            "its beginning" if wanted is None else wanted,
            first,
        )

    def _miss(self, partition: Partition[S], end: int) -> None:
        """Tell the states that input of theirs is gone; the position is already behind it.

        `end` is the first offset of which nothing was published yet.
        """
        if self.on_missed is None:
            return
        for key, state in partition.states.items():
            if state.position < partition.position or key in partition.reset:
                state.position = partition.position
                self.on_missed(state, end)
                partition.rewrite([key])

    def committable(self, tp: TP) -> int | None:
        """Return the position to commit, None of a partition that may have another owner."""
        partition = self.partitions.get(tp.partition)
        if partition is None or partition.is_fenced:
            return None
        return partition.position

    def is_dirty(self, tp: TP) -> bool:
        """Whether something is to be written although the position may not have moved.

        A state that another worker overtook has to be written again even where all is quiet:
        compaction would keep the older record.
        """
        partition = self.partitions.get(tp.partition)
        return partition is not None and bool(partition.dirty or partition.unsure)

    def committed(self, tp: TP) -> None:
        """A commit was taken: whoever takes over now begins no higher than this worker did."""
        partition = self.partitions.get(tp.partition)
        if partition is not None:
            partition.rewound_to = None

    def fence(self, tp: TP) -> None:
        """A commit was refused: the partition may have another owner, so nothing more is written.

        The rebalance that is under way drops the partition or, if it stays, begins it anew.
        """
        partition = self.partitions.get(tp.partition)
        if partition is not None:
            partition.is_fenced = True

    def begin(
        self,
        number: int,
        committed: int | None,
        first: int,
        end: int,
        changelog: range | None = None,
    ) -> None:
        """Take over a partition whose table has been recovered, at the position committed.

        If that is not there any more, or nothing is committed, it is begun at `first`, and the
        states that do not include what was before are told.
        If a state can't be read, or the changelog (the offsets that it has) cannot have held them
        all, the partition is begun at `first`, the earliest offset that there is: the keys that
        have a state skip what theirs includes, the others are computed again.
        A state that includes more than there is, beyond `end`, is of a topic that was deleted: what
        comes now is all new to it, and so is its position. It is written at once, behind a deletion
        of its key: in the changelog the higher position of before would win.
        """
        if number in self.partitions:
            return
        is_expired = first > 0 and (committed is None or committed < first)
        position = first if committed is None else max(committed, first)
        if not first <= position <= end:
            raise InvariantBroken(
                f"{self.topic}-{number}: begun at {position}, but there is {first} to {end}"
            )
        store = self.store
        partition: Partition[S] = Partition(
            number,
            position,
            offsets=range(first, end),
            changelog_next=store.last_read(number) + 1,
        )
        why = None if changelog is None else self._missing(number, changelog)
        if why is not None and position > first:
            log.warning("%s-%d: %s; computing again from %d", self.topic, number, why, first)
            partition.position = first
        if not self.is_lazy:
            for key, record in store.records(number):
                if self._load_into(partition, key, record) is None:
                    partition.position = first
            partition.rewrite(partition.reset)
        if is_expired and (committed is not None or partition.states):
            self._say_expired(number, committed, first)
        if is_expired or partition.reset:
            self._miss(partition, end)
        if changelog is not None and partition.changelog_next > changelog.stop:
            # What is here is not there any more: all of it is written again.
            store.forget_offset(number)
            partition.changelog_next = changelog.stop
            partition.is_alone = not changelog.stop
        if number in store.doubtful:
            self.doubt(partition)
        self._repair(partition)
        if committed is not None and partition.position < committed:
            partition.rewound_to = partition.position
        self.partitions[number] = partition
        log.info(
            "%s-%d: taken over at offset %d, %d states; changelog read to %d",
            self.topic,
            number,
            partition.position,
            len(partition.states),
            partition.changelog_next,
        )

    def _repair(self, partition: Partition[S]) -> None:
        """Have written again what recovery found overtaken in the changelog by an older record."""
        overtaken = self.store.overtaken.pop(partition.number, set())
        if not overtaken:
            return
        log.warning(
            "%s-%d: another worker wrote %d records late; they are written again",
            self.table.name,
            partition.number,
            len(overtaken),
        )
        if self.is_lazy:
            partition.unsure += overtaken
        partition.rewrite(overtaken & partition.states.keys())

    def doubt(self, partition: Partition[S]) -> None:
        """Have every state written again: the changelog may not end with it."""
        partition.rewrite(partition.states)
        if self.is_lazy:
            partition.unsure = [key for key, _ in self.store.records(partition.number)]

    def _missing(self, number: int, changelog: range) -> str | None:
        """Say why states may be missing although the input was committed; None if none are."""
        store = self.store
        known = store.opened_at.get(number, -1)
        name = self.changelog_tp(number).topic
        if known >= changelog.stop:
            return f"{name} was made anew: it ends at {changelog.stop}, {known} had been read"
        if changelog.start > known + 1:
            return f"{name} was truncated: it begins at {changelog.start}"
        if known < 0 and not changelog:
            return f"{name} is empty"
        return None

    def _load_into(self, partition: Partition[S], key: bytes, record: bytes) -> S | None:
        """Hold the state of a record of the table; one of another input begins anew (`begin`)."""
        state = self._load(key, record)
        if state is None:
            return None
        partition.states[key] = state
        partition.sizes[key] = len(record)
        if state.position > max(partition.offsets.stop, partition.position):
            state.position = partition.offsets.start
            partition.reset.add(key)
        return state

    def _load(self, key: bytes, record: bytes) -> S | None:
        try:
            state = self.codec.load(key, record)
            if state.position != position_of(record):
                raise InvariantBroken(f"{key!r} was read as of {state.position}, not of its record")
            return state
        except BadRecord as error:
            log.warning("%s: %r is computed anew: %s", self.table.name, key, error)
            return None

    def drop(self, numbers: Iterable[int]) -> None:
        """Forget partitions that were given up."""
        for number in numbers:
            self.partitions.pop(number, None)

    def settled(self) -> None:
        """Tell who asked that the partitions held are those of a new assignment."""
        for callback in self.on_settled:
            callback()

    async def checkpoint(self, number: int, *, whole: bool = False) -> int | None:
        """Write the states of a partition that are due, or all changed ones, and wait for Kafka.

        Returns the position that may be committed: what the states not written include begins
        there. None if the partition was given up meanwhile; raises whatever the producer raised:
        then nothing must be committed.
        """
        return await self._checkpoints.write(number, whole=whole)

    async def later(self, partition: Partition[S], what: Any) -> None:
        """Have something sent with what else follows from the input, soon; wait if that is much.

        The partition has to be held as a whole. One whose sends get through does not wait for the
        next flush, which may stand at another whose do not.
        """
        await self._checkpoints.add_later(partition, what)

    async def flush(self) -> None:
        """Send what was to be sent later, of all partitions."""
        for partition in list(self.partitions.values()):
            async with partition.whole:
                if self.may_send(partition):
                    await self._checkpoints.send_later(partition)

    def may_send(self, partition: Partition[S]) -> bool:
        """Whether a partition is still ours, as far as is known."""
        return not partition.is_fenced and self.partitions.get(partition.number) is partition

    @property
    def store(self) -> StateStore:
        """The RocksDB side of the table."""
        store: StateStore = self.table.data
        return store
