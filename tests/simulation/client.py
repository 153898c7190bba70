"""The simulated producer and consumer of a worker, in the place of Faust's and of aiokafka's.

The sequence in which they call the exact layer is that of faust_exact/consumer.py and fetching.py:
revoke (checkpoint, commit, drop), recover the tables, seek, begin; fetch, re-read or skip;
checkpoint, then commit, and fence if the commit is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from faust.types import TP

from faust_exact.partition_states import StateKeeper
from faust_exact.record_batch import Delivery
from tests.simulation.kafka import Batch

if TYPE_CHECKING:
    from tests.simulation.world import World

MAX_UNDONE = 2


class Gone(Exception):
    """The process was killed: nothing more of it happens."""


class Client:
    """What a process sends and is given. The process says when it may go on (`gate`)."""

    world: World
    name: str
    is_alive: bool
    keepers: list[StateKeeper[Any]]

    def __init__(self) -> None:
        self.generation = -1
        self.flow_active = False
        self.unfetched: set[TP] = set()
        self._queues: dict[str, asyncio.Queue[Delivery]] = {}
        self._positions: dict[TP, int] = {}
        self._committed: dict[TP, int] = {}
        self._undone: set[Delivery] = set()
        self._committing = asyncio.Lock()
        self._fetch_s = 0.02

    # What the process adds

    async def gate(self) -> None:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    async def reach(self, moment: str) -> None:
        raise NotImplementedError

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        raise NotImplementedError

    def later(self, callback: Callable[[], None]) -> None:
        raise NotImplementedError

    def forget_databases(self) -> None:
        raise NotImplementedError

    # The producer

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int, *_: Any
    ) -> asyncio.Future[Any]:
        self.world.checks.sent(self, TP(topic, partition))
        await self.gate()
        if topic.endswith("changelog"):
            await self.reach("changelog")
        return self._to_kafka(TP(topic, partition), [(key, value)])

    def create_batch(self, codec: int = 0) -> Batch:
        return Batch(self.world.random.choice(self.world.plan.room))

    async def send_batch(self, topic: str, partition: int, batch: Batch) -> asyncio.Future[Any]:
        self.world.checks.sent(self, TP(topic, partition))
        await self.gate()
        if topic != "feed":
            await self.reach("batch")
        if self.world.random.random() < 0.3:
            await self.sleep(self.world.kafka.delay_s())  # the batch before has not gone
        return self._to_kafka(TP(topic, partition), batch.pairs)

    def _to_kafka(self, tp: TP, pairs: Any) -> asyncio.Future[Any]:
        future = self.world.kafka.send(self, tp, pairs, self.later)
        future.add_done_callback(self._check_sent)
        return future

    def _check_sent(self, future: asyncio.Future[Any]) -> None:
        """End the worker after a failed send, as the product's producer does."""
        if not future.cancelled() and (error := future.exception()) is not None:
            self.world.ended(self, error)

    # Fetching

    def leave_out(self, tp: TP) -> None:
        self.unfetched.add(tp)

    async def fetch_loop(self) -> None:
        while True:
            await self.sleep(self._fetch_s + self.world.kafka.delay_s())
            if not self.flow_active:
                continue
            for keeper in self.keepers:
                await self._reread(keeper)
                self._fetch(keeper)

    async def _reread(self, keeper: StateKeeper[Any]) -> None:
        """Go back to what was not delivered, or on to what is still there."""
        self._look_for_standing(keeper)
        for tp, offset in keeper.rereads().items():
            first = self.world.kafka.logs[tp].first
            if first > offset:
                await keeper.skip(tp, first)
            if not self.flow_active:
                return
            self._positions[tp] = max(offset, first)
            keeper.reread_done(tp)
            self.unfetched.discard(tp)

    def _look_for_standing(self, keeper: StateKeeper[Any]) -> None:
        for number, partition in keeper.partitions.items():
            tp = keeper.input_tp(number)
            log, stood = self.world.kafka.logs[tp], partition.looked_at
            partition.looked_at = partition.position
            if tp in self.unfetched or stood != partition.position or self._waits(keeper):
                continue
            if log.end > partition.position >= 0 and self._positions.get(tp, 0) >= log.end:
                partition.is_reread = True

    def _waits(self, keeper: StateKeeper[Any]) -> int:
        return len([each for each in self._undone if each.records[0].topic == keeper.topic])

    def _fetch(self, keeper: StateKeeper[Any]) -> None:
        if not self.flow_active or self._waits(keeper) >= MAX_UNDONE:
            return
        records = []
        for number in keeper.partitions:
            tp = keeper.input_tp(number)
            if tp in self.unfetched:
                continue
            log = self.world.kafka.logs[tp]
            position = max(self._positions.get(tp, 0), log.first)
            if position >= log.end:
                continue
            found = log.from_offset(position, self.world.random.choice(self.world.plan.fetched))
            if found:
                self._positions[tp] = found[-1].offset + 1
                if self.world.random.random() >= self.world.plan.dropped:
                    records += found
        if records:
            generation = self.generation
            delivery = Delivery(
                records,
                lambda: self.flow_active and self.generation == generation,
                lambda done: self._done(keeper, done),
            )
            self._undone.add(delivery)
            self._queues[keeper.topic].put_nowait(delivery)

    def _done(self, keeper: StateKeeper[Any], delivery: Delivery) -> None:
        self._undone.discard(delivery)
        if keeper.loopback is not None:
            keeper.loopback.wake()

    # Commits

    async def commit_loop(self) -> None:
        while True:
            await self.sleep(self.world.random.uniform(0.5, 1.5) * self.world.plan.checkpoint_s)
            await self.commit(self.generation)

    async def commit(self, generation: int, *, whole: bool = False) -> None:
        """Checkpoint, then commit what the checkpoint includes; fence if it is refused."""
        async with self._committing:
            offsets: dict[TP, int] = {}
            for keeper in self.keepers:
                for number in list(keeper.partitions):
                    tp = keeper.input_tp(number)
                    at = keeper.committable(tp)
                    if at is None or (at == self._committed.get(tp) and not keeper.is_dirty(tp)):
                        continue
                    position = await keeper.checkpoint(number, whole=whole)
                    if position is not None:
                        offsets[tp] = position
            if not offsets or self.generation not in (generation, -1):
                return  # all was taken over anew meanwhile
            await self.reach("written")
            await self._commit(generation, offsets)

    async def _commit(self, generation: int, offsets: dict[TP, int]) -> bool:
        await self.sleep(self.world.kafka.delay_s())
        is_taken = self.world.group.commit(self, generation, offsets)
        for keeper in self.keepers:
            for tp in filter(keeper.wants, offsets):
                (keeper.committed if is_taken else keeper.fence)(tp)
        if is_taken:
            self._committed |= offsets
            await self.reach("committed")
        else:
            self.world.note(self.name, "commit refused")
        return is_taken

    async def revoke(self) -> None:
        """Give up all partitions: the last checkpoint and commit have a bounded time.

        Who has been asleep is told with its next heartbeat, and goes on until then.
        """
        await self.gate()
        await self.sleep(self.world.random.uniform(0.0, self.world.plan.heartbeat_s))
        self.flow_active = False
        self.generation, generation = -1, self.generation
        try:
            async with asyncio.timeout(self.world.plan.final_commit_s):
                await self.commit(generation, whole=True)
        except TimeoutError:
            self.world.note(self.name, "last commit ran out of time")
        await self.gate()
        for keeper in self.keepers:
            keeper.drop(list(keeper.partitions))
            if keeper.loopback is not None:
                keeper.loopback.forget()
        self.forget_databases()
        self.unfetched.clear()

    # Taking over

    async def take_over(self, partitions: list[int], generation: int) -> None:
        """Recover the tables of partitions, seek to what is committed, and begin."""
        await self.gate()
        self.generation = generation
        for keeper in self.keepers:
            for number in partitions:
                await self._recover(keeper, number, generation)
        await self.reach("recovered")
        await self.sleep(self.world.kafka.delay_s())
        if self.generation != generation:
            return
        begun = []
        for keeper in self.keepers:
            for number in partitions:
                tp, changelog = keeper.input_tp(number), keeper.changelog_tp(number)
                log, states = self.world.kafka.logs[tp], self.world.kafka.logs[changelog]
                begun.append((keeper, tp, log.first, log.end, range(states.first, states.end)))
        self._committed = committed = dict(self.world.kafka.committed)
        await self.sleep(self.world.kafka.delay_s())
        if self.generation != generation:
            return
        starts: dict[TP, int] = {}
        for keeper, tp, first, end, states in begun:
            position = committed.get(tp)
            if position is not None and position > end:
                position = first
            keeper.begin(tp.partition, position, first, end, states)
            self._positions[tp] = begins = keeper.partitions[tp.partition].position
            if position is not None:
                starts[tp] = min(begins, position)
        paces = (0.05,) if self.world.is_settling else self.world.plan.fetch_s
        self._fetch_s = self.world.random.choice(paces)
        self.world.checks.began(self)
        for keeper in self.keepers:
            if keeper.loopback is not None:
                keeper.loopback.forget()
        await self.reach("begun")
        if starts and not await self._commit(generation, starts):
            for keeper in self.keepers:
                keeper.drop(list(keeper.partitions))
        elif self.generation == generation:
            self.flow_active = True

    async def _recover(self, keeper: StateKeeper[Any], number: int, generation: int) -> None:
        tp, store = keeper.changelog_tp(number), keeper.store
        store.opened_at.pop(number, None)
        persisted = store.persisted_offset(tp)
        offset = 0 if persisted is None else persisted + 1
        end = self.world.kafka.logs[tp].end
        while True:
            await self.sleep(self.world.kafka.delay_s())
            if self.generation != generation:
                return
            found = self.world.kafka.logs[tp].from_offset(offset, 7)
            found = [record for record in found if record.offset < end]
            if not found:
                return
            store.apply_changelog_batch([_event(tp, record) for record in found], bytes, bytes)
            offset = found[-1].offset + 1


def _event(tp: TP, record: Any) -> Any:
    message = SimpleNamespace(
        tp=tp,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
    )
    return SimpleNamespace(message=message)
