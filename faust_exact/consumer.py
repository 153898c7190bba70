"""Faust's aiokafka transport, made exact for the topics of the state keepers.

Plugged in by `app.transport = ExactTransport(…)`. Everything here overrides a named method of
faust-streaming 0.15.3; the reasons, F1 to F24, are in docs/exactness.md.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from faust_exact.client_thread import FETCH_WAIT_MS
from faust_exact.fetching import FetchingConsumer
from faust_exact.producer import ExactProducer

log = logging.getLogger("steelyard.consumer")

COMMIT_BEFORE_REVOKE_S: Final = 5.0
"""Partitions are given up after this, committed or not: what was not committed is replayed."""


COMMIT_AT_S: Final = 0.65
"""Into each second of the clock: windows end with the second, and close when the grace, 250 ms by
default, is over. They would wait for the 40 to 60 ms of the loop that a commit takes (decision
15)."""


def until_commit_s(now_s: float, interval_s: float) -> float:
    """Return how long to wait for the next commit; now is in seconds of the wall clock.

    Nearly the interval: half a second more or less, so that it is when no windows close. One that
    is below a second is kept as it is.
    """
    if interval_s < 1:
        return interval_s
    return round(now_s + interval_s - COMMIT_AT_S) + COMMIT_AT_S - now_s


class ExactConsumer(FetchingConsumer):
    """A consumer whose commit is the processor's own position."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._forces_commit = False
        self._revocations = 0
        """How often partitions were given up: what was asked before is not acted on after."""
        self.has_settled = False
        """Whether the last commit has been made: only Faust's own clean-up is left."""

    # Positions

    async def perform_seek(self) -> None:
        """Seek to what is committed or, where nothing is, to the beginning (F1).

        Faust leaves a partition without a commit where the fetcher happens to stand. A position
        that retention has overtaken is moved to the first offset there is.

        The fetcher, too, calls this, after it dropped what it had fetched because the flow was
        stopped: in the middle of a rebalance, before the tables are recovered. Nothing is taken
        over then.

        Whatever is awaited here, partitions may be revoked meanwhile, long before there is another
        assignment or generation: what was revoked is not taken over again.
        """
        asked = self.app.consumer_generation_id, self._revocations

        def is_outdated() -> bool:
            return bool(asked != (self.app.consumer_generation_id, self._revocations))

        await super().perform_seek()
        if is_outdated():
            return
        self.fetch_all()
        if asyncio.current_task() is self._fetching:
            await self._seek_back_recovery()
            return
        mine = [tp for tp in self.assignment() if self._keeper(tp) is not None]
        earliest = await self.earliest_offsets(*mine) if mine else {}
        ends = await self.highwaters(*mine) if mine else {}
        changelogs = await self._changelogs(mine) if mine else {}
        if is_outdated() or not self.assignment() >= set(mine):
            return  # another rebalance came meanwhile, and is followed by another seek
        for each in self.keepers:
            each.drop([n for n in each.partitions if each.input_tp(n) not in mine])
        seeks, starts = self._begin(mine, earliest, ends, changelogs)
        if seeks:
            await self.seek_wait(seeks)
        if is_outdated() or not await self._confirm(starts) or is_outdated():
            return
        for keeper in self.keepers:
            keeper.settled()

    def _begin(
        self,
        mine: list[TP],
        earliest: Mapping[TP, int],
        ends: Mapping[TP, int],
        changelogs: Mapping[TP, range],
    ) -> tuple[dict[TP, int], dict[TP, int]]:
        """Take over partitions; return where to go on, and what to commit before that."""
        seeks: dict[TP, int] = {}
        starts: dict[TP, int] = {}
        for tp in mine:
            keeper = self._keeper(tp)
            assert keeper is not None
            committed = self._committed_offset[tp]
            first = earliest.get(tp) or 0
            end = ends.get(tp) or 0
            if committed is not None and committed > end:
                log.warning(
                    "%s-%d: committed %d, but the topic ends at %d: it was made anew",
                    tp.topic,
                    tp.partition,
                    committed,
                    end,
                )
                committed = first
            keeper.begin(tp.partition, committed, first, end, changelogs[tp])
            seeks[tp] = keeper.partitions[tp.partition].position
            if committed is not None:
                starts[tp] = min(seeks[tp], committed)
        return seeks, starts

    async def _confirm(self, starts: Mapping[TP, int]) -> bool:
        """Commit where partitions begin; give all up, before any input, if Kafka refuses that.

        What is committed Kafka tells to anybody, also to a worker that was paused while it read
        the changelogs. Another one may own the partitions since, and what it has committed is of
        input which the tables here do not include. Commits are for members of the generation only.
        """
        if not starts or await self._commit_offsets(starts):
            return True
        log.warning("the partitions may have another owner already: they are not taken over")
        for keeper in self.keepers:
            keeper.drop(list(keeper.partitions))
        return False

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

    # Commits

    @Service.task  # type: ignore[untyped-decorator]
    async def _commit_handler(self) -> None:
        while not self.should_stop:
            await self.sleep(until_commit_s(time.time(), self.commit_interval))
            if not self.should_stop:  # then the last commit is made by the stop itself
                await self.commit()

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
            position = keeper.committable(tp)
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
        if did_commit:
            for tp in offsets:
                keeper = self._keeper(tp)
                if keeper is not None:
                    keeper.committed(tp)
        return did_commit

    # Giving up partitions

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Checkpoint and commit before partitions are given up (F2); then forget their states."""
        self._revocations += 1
        self.stop_flow()
        # What is asked of the broker until all is shared anew has to wait behind each fetch.
        self._thread.let_fetches_wait(FETCH_WAIT_MS)
        if self._thread.is_member:  # if not, nothing can be committed: the others may have it all
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
