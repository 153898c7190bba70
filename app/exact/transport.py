"""Faust's aiokafka transport, made exact for the topics of the state keepers.

Plugged in by `app.transport = ExactTransport(…)`. Everything here overrides a named method of
faust-streaming 0.15.3; the reasons, F1 to F24, are in docs/exactness.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.services import WaitResults

from app.exact.delivery import Delivery
from app.exact.handover import Ended, begin
from app.exact.keeper import StateKeeper
from app.exact.producer import ExactProducer

log = logging.getLogger("steelyard.consumer")

COMMIT_BEFORE_REVOKE_S: Final = 5.0
"""Partitions are given up after this, committed or not: what was not committed is replayed."""

FETCH_WAIT_MS: Final = 50
"""A fetch leaves out partitions whose records still wait to be processed, and is the only one under
way to its broker. With Faust's 1,500 ms a worker that had once fallen behind, as after a takeover,
was given its busy partitions only every 1.5 s, and so stayed seconds behind for good."""
CALM_FETCH_WAIT_MS: Final = 250
"""The same while everything that the keepers want is looped back: what is fetched then is mostly
`live`, which comes so often by itself. Twenty fetches of nothing a second took 5 % of a busy
worker's time."""

MAX_UNDONE: Final = 2
"""Deliveries of a topic that may be under way: one is processed, and the next is at hand."""
HELD_WAIT_S: Final = 0.02
"""While partitions are held, a fetch of the others waits so long, so that they are soon let go."""


class ExactThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread of the Kafka client: fetches promptly, and ends although a rebalance goes on."""

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> Any:
        client = super()._create_consumer(loop)
        client._fetch_max_wait_ms = FETCH_WAIT_MS  # read when the client starts; Faust sets it
        return client

    def let_fetches_wait(self, wait_ms: int) -> None:
        """Have the broker answer the next fetches after so long, if there is nothing."""
        fetcher = self._ensure_consumer()._fetcher
        if fetcher is not None:
            fetcher._fetch_max_wait_ms = wait_ms

    def close(self) -> None:
        """Do nothing: the stop that is under way closes the client, in its own thread.

        Faust calls this when a rebalance comes during a stop, and closed the client and its
        coordinator from the main thread's loop: what was under way was never answered.
        """

    # A stop cancels the calls that the main thread has under way here. If one of them is part of a
    # rebalance, the cancellation came back here as the callback's own, ended the coordinator's
    # task, and the main thread waited for this one for ever (F14).

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Have partitions given up; not longer than until this thread is to stop."""
        await self.wait(super().on_partitions_revoked(revoked))

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Have partitions taken over; not longer than until this thread is to stop."""
        await self.wait(super().on_partitions_assigned(assigned, generation_id))


class ExactConsumer(driver.Consumer):  # type: ignore[misc]
    """A consumer whose commit is the processor's own position."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._forces_commit = False
        self.has_settled = False
        """Whether the last commit has been made: only Faust's own clean-up is left."""
        self._fetching: asyncio.Task[Any] | None = None
        """The task that fetches."""
        self.rounds = 0
        """Fetches that were handed on to their last record."""
        self._undone: dict[str, set[Delivery]] = {}
        """By topic: what was handed to an agent and is not processed yet."""
        self._held: set[TP] = set()
        """Partitions of which nothing is fetched until a delivery is done."""
        self.unfetched: set[TP] = set()
        """Partitions of which nothing is fetched because all that comes is looped back."""

    def _new_consumer_thread(self) -> ExactThread:
        return ExactThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def keepers(self) -> list[StateKeeper[Any]]:
        """The keepers of the app, whose topics are consumed exactly."""
        keepers: list[StateKeeper[Any]] = self.app.keepers
        return keepers

    def _keeper(self, tp: TP) -> StateKeeper[Any] | None:
        for keeper in self.keepers:
            if keeper.wants(tp):
                return keeper
        return None

    # Positions

    async def perform_seek(self) -> None:
        """Seek to what is committed or, where nothing is, to the beginning (F1).

        Faust leaves a partition without a commit where the fetcher happens to stand. A position
        that retention has overtaken is moved to the first offset there is.

        The fetcher, too, calls this, after it dropped what it had fetched because the flow was
        stopped: in the middle of a rebalance, before the tables are recovered. Nothing is taken
        over then.
        """
        await super().perform_seek()
        self._undone.clear()  # the agents' queues are cleared before the flow goes on
        for each in self.keepers:
            if each.loopback is not None:
                each.loopback.forget()
        self._held |= self.unfetched
        self.unfetched.clear()
        self._let_go()
        if asyncio.current_task() is self._fetching:
            await self._seek_back_recovery()
            return
        mine = [tp for tp in self.assignment() if self._keeper(tp) is not None]
        if not mine:
            return
        generation = self.app.consumer_generation_id
        earliest = await self.earliest_offsets(*mine)
        ends = await self.highwaters(*mine)
        changelogs = await self._changelogs(mine)
        if generation != self.app.consumer_generation_id or not self.assignment() >= set(mine):
            return  # another rebalance came meanwhile, and is followed by another seek
        seeks: dict[TP, int] = {}
        for tp in mine:
            keeper = self._keeper(tp)
            assert keeper is not None
            committed = self._committed_offset[tp]
            first = earliest.get(tp) or 0
            end = ends.get(tp) or 0
            position = max(committed or 0, first)
            if committed is not None and committed < first:
                log.warning(
                    "%s-%d: committed %d, but the topic begins at %d: %d records expired unread",
                    tp.topic,
                    tp.partition,
                    committed,
                    first,
                    first - committed,
                )
            if position > end:
                log.warning(
                    "%s-%d: committed %d, but the topic ends at %d: it was made anew",
                    tp.topic,
                    tp.partition,
                    position,
                    end,
                )
                position = first
            keeper.begin(tp.partition, position, first, end, changelogs[tp])
            seeks[tp] = keeper.partitions[tp.partition].position
        await self.seek_wait(seeks)
        for keeper in self.keepers:
            keeper.settled()

    async def _seek_back_recovery(self) -> None:
        """Let changelogs be read on from where recovery is, whatever of them was dropped (F19).

        A changelog has no commit to go back to. If nobody owned its partition, nothing more came,
        and recovery waited for ever for what had been dropped.
        """
        recovery = self.app.tables.recovery
        assigned = self.assignment()
        offsets = {**recovery.standby_offsets, **recovery.active_offsets}
        read = recovery.active_tps | recovery.standby_tps
        seeks = {
            tp: max(offset, 0)
            for tp, offset in offsets.items()
            if offset is not None and tp in read and tp in assigned
        }
        if seeks:
            await self.seek_wait(seeks)

    async def _changelogs(self, inputs: Iterable[TP]) -> dict[TP, range]:
        """Return the offsets that there are in the changelog beside each partition of an input."""
        logs: dict[TP, TP] = {}
        for tp in inputs:
            keeper = self._keeper(tp)
            assert keeper is not None
            logs[tp] = keeper.changelog_tp(tp.partition)
        firsts = await self.earliest_offsets(*logs.values())
        ends = await self.highwaters(*logs.values())
        return {tp: range(firsts.get(each) or 0, ends.get(each) or 0) for tp, each in logs.items()}

    def highwater(self, tp: TP) -> int | None:
        """Return the end of a partition as of the last fetch, or of the last append of ours."""
        fetched: int | None = super().highwater(tp)
        keeper = self._keeper(tp)
        if keeper is None or keeper.loopback is None:
            return fetched
        return max(fetched or 0, keeper.loopback.end(tp))

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetch; between two fetches, and only there, go back to what was not delivered.

        A seek while a fetched batch is being iterated is undone by the rest of that batch.
        """
        self._fetching = asyncio.current_task()
        await self._reread()
        self._thread.let_fetches_wait(CALM_FETCH_WAIT_MS if self.is_calm else FETCH_WAIT_MS)
        async for tp, message in super().getmany(HELD_WAIT_S if self._held else timeout):
            yield tp, message
        self.rounds += 1

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        """Fetch; what came of a keeper's topic becomes one delivery (F23)."""
        fetched, active = await super()._wait_next_records(timeout)
        if not fetched:
            return fetched, active
        others = {tp: records for tp, records in fetched.items() if self._keeper(tp) is None}
        for keeper in self.keepers:
            mine = {
                tp: records
                for tp, records in fetched.items()
                if keeper.wants(tp) and tp not in keeper.rereads()
            }
            if mine:
                others[next(iter(mine))] = [self._delivery(keeper, mine)]
        return others, active

    def _delivery(self, keeper: StateKeeper[Any], fetched: dict[TP, list[Any]]) -> Delivery:
        generation = self.app.consumer_generation_id

        def may_go_on() -> bool:
            return bool(self.flow_active) and self.app.consumer_generation_id == generation

        # Faust's scheduler lets the partitions take turns.
        records = [record for _, record in self.scheduler.iterate(fetched)]
        delivery = Delivery(records, may_go_on, partial(self._done, keeper))
        undone = self._undone.setdefault(keeper.topic, set())
        undone.add(delivery)
        if len(undone) >= MAX_UNDONE:
            for number in keeper.partitions:
                self._hold(keeper.input_tp(number))
        return delivery

    def _hold(self, tp: TP) -> None:
        """Fetch no more of a partition until a delivery of its topic is done."""
        self._held.add(tp)
        self.on_buffer_full(tp)

    @property
    def is_calm(self) -> bool:
        """Whether nothing is fetched of what the keepers have."""
        wanted = {each.input_tp(number) for each in self.keepers for number in each.partitions}
        return bool(wanted) and wanted <= self.unfetched

    def leave_out(self, tp: TP) -> None:
        """Fetch no more of a partition, until it is read again or begun anew."""
        self.unfetched.add(tp)
        self.on_buffer_full(tp)

    def _done(self, keeper: StateKeeper[Any], delivery: Delivery) -> None:
        """A delivery was processed, or given up."""
        self._undone.get(keeper.topic, set()).discard(delivery)
        self._let_go(keeper)
        if keeper.loopback is not None:
            keeper.loopback.wake()

    def _let_go(self, keeper: StateKeeper[Any] | None = None) -> None:
        """Fetch again what was held, of a keeper or of all, as far as it is still ours."""
        for tp in [tp for tp in self._held if keeper is None or keeper.wants(tp)]:
            self._held.discard(tp)
            if tp not in self.unfetched:
                self._fetch_again(tp)

    def _fetch_again(self, tp: TP) -> None:
        if tp in self.assignment():
            self.on_buffer_drop(tp)
        else:
            self._buffered_partitions.discard(tp)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, Delivery):
            return super()._to_message(tp, record)
        last = next(each for each in reversed(record.records) if each.partition == tp.partition)
        message = super()._to_message(tp, last)
        message.key, message.value = None, record
        return message

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:
        """Wait for the first of these; a hand-over that need not wait costs no task (F23)."""
        handover, *others = coros
        is_handover = asyncio.iscoroutine(handover) and asyncio.current_task() is self._fetching
        if not is_handover or self.should_stop:
            return await super().wait_first(*coros, timeout=timeout)
        begun = begin(handover)
        if not isinstance(begun, Ended):
            return await super().wait_first(begun, *others, timeout=timeout)
        for other in others:
            other.close()
        return WaitResults([handover], [begun.value], False)

    async def _reread(self) -> None:
        assigned = self.assignment()
        for keeper in self.keepers:
            seeks = {tp: offset for tp, offset in keeper.rereads().items() if tp in assigned}
            if seeks and self.flow_active:
                await self.seek_wait(seeks)
                for tp in seeks:
                    keeper.reread_done(tp)
                    if tp in self.unfetched:
                        self.unfetched.discard(tp)
                        self._fetch_again(tp)

    # Commits

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        for tp in super()._filter_tps_with_pending_acks(topics):
            if self._keeper(tp) is None:
                yield tp
        for keeper in self.keepers:
            for number in keeper.partitions:
                yield TP(keeper.topic, number)

    def _filter_committable_offsets(self, tps: Iterable[TP]) -> dict[TP, int]:
        offsets: dict[TP, int] = {}
        others = []
        for tp in tps:
            keeper = self._keeper(tp)
            if keeper is None:
                others.append(tp)
                continue
            position = keeper.committable(tp, force=self._forces_commit)
            is_due = position != self._committed_offset[tp] or keeper.is_dirty(tp)
            if position is not None and is_due:
                offsets[tp] = position
        offsets.update(super()._filter_committable_offsets(others))
        return offsets

    async def _handle_attached(self, commit_offsets: dict[TP, int]) -> None:
        """Checkpoint; only what has been written is left of what is committed next."""
        for tp in list(commit_offsets):
            keeper = self._keeper(tp)
            if keeper is None:
                continue
            position = await keeper.checkpoint(tp.partition, whole=self._forces_commit)
            if position is None:
                del commit_offsets[tp]
            else:
                commit_offsets[tp] = position
        await super()._handle_attached(commit_offsets)

    async def _commit_offsets(
        self, offsets: Mapping[TP, int], start_new_transaction: bool = True
    ) -> bool:
        did_commit: bool = await super()._commit_offsets(offsets, start_new_transaction)
        if not did_commit:
            for tp in offsets:
                keeper = self._keeper(tp)
                if keeper is not None:
                    keeper.fence(tp)
        return did_commit

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        try:
            did_commit: bool = await super()._commit(offsets)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            log.info("stopped during a commit: what follows the one before it will be replayed")
            return False
        return did_commit

    # Giving up partitions

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Checkpoint and commit before partitions are given up (F2); then forget their states."""
        self.stop_flow()
        # What is asked of the broker until all is shared anew has to wait behind each fetch.
        self._thread.let_fetches_wait(FETCH_WAIT_MS)
        await self.final_commit()
        await super().on_partitions_revoked(revoked)
        for keeper in self.keepers:
            keeper.drop([tp.partition for tp in revoked if keeper.wants(tp)])

    async def on_stop(self) -> None:
        """Checkpoint and commit a last time, bounded in time (F14)."""
        self.has_settled = await self.final_commit()
        await super().on_stop()

    async def final_commit(self) -> bool:
        """Commit everything that was processed, whatever its interval; False if time ran out."""
        self._forces_commit = True
        try:
            await asyncio.wait_for(self.force_commit(), COMMIT_BEFORE_REVOKE_S)
        except TimeoutError:
            log.warning("the last commit did not get through: what follows it will be replayed")
            return False
        else:
            return True
        finally:
            self._forces_commit = False


class ExactTransport(driver.Transport):  # type: ignore[misc]
    """Creates exact consumers, and producers of batches."""

    Consumer = ExactConsumer
    Producer = ExactProducer
