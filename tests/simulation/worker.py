"""A simulated worker runs the product's agents, keepers, stores and codecs on a simulated client.

What is replaced is Faust's consumer and producer, and the clock. The sequence in which they call
the exact layer is that of faust_exact/consumer.py: revoke (checkpoint, commit, drop), recover the
tables, seek, begin; fetch, re-read; checkpoint, then commit, and fence if the commit is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from faust.types import TP

from agents import books, history
from app.processing.processor import Rules
from app.processing.state_codec import BooksCodec
from app.state.history_chunks import HistoryCodec
from app.topics.partitioner import partition_of
from faust_exact.fast.local_delivery import Loopback
from faust_exact.partition_states import StateKeeper
from faust_exact.record_batch import Delivery
from faust_exact.store import StateStore
from tests.simulation.disk import Disk, store_on
from tests.simulation.kafka import Batch

if TYPE_CHECKING:
    from tests.simulation.world import World

CHECKPOINT_S = 0.3
FINAL_COMMIT_S = 5.0
FETCH_S = 0.02


class Gone(Exception):
    """The process was killed: nothing more of it happens."""


class Process:
    """The app that agents and keepers see; also its consumer and its producer."""

    def __init__(self, world: World, number: int, disk: Disk) -> None:
        self.world, self.number, self.disk = world, number, disk
        self.name = f"worker-{number}"
        self.is_alive = True
        self.generation = -1
        self.should_stop = False
        self.flow_active = False
        self.unfetched: set[TP] = set()
        self.producer = self.consumer = self
        self.conf = SimpleNamespace()
        self.options = SimpleNamespace(
            live_interval_ms=250, history=world.history_windows, worker_name=self.name
        )
        self._running = asyncio.Event()
        self._running.set()
        self._postponed: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._starts: list[Callable[[], Coroutine[Any, Any, Any]]] = []
        self._queues: dict[str, asyncio.Queue[Delivery]] = {}
        self._positions: dict[TP, int] = {}
        self._undone: set[Delivery] = set()
        self._committing = asyncio.Lock()
        self._stores = {name: self._open(name) for name in ("books", "history")}
        self.shared: Any = self._make_state()
        self.keepers: list[StateKeeper[Any]] = [self.shared.books, self.shared.history]
        for agent in (books, history):
            agent.register(self)  # type: ignore[arg-type]
        for start in self._starts:
            self.spawn(start())
        self.spawn(self._fetch_loop())
        self.spawn(self._commit_loop())

    def _open(self, name: str) -> StateStore:
        return store_on(self.disk, name, self.world.folder)

    def _make_state(self) -> Any:
        rules = Rules(self.world.lengths_ms, self.world.grace_ms, 3_000)

        def keeper(name: str, topic: str, codec: Any, **options: Any) -> StateKeeper[Any]:
            changelog = SimpleNamespace(get_topic_name=lambda: f"{name}-changelog")
            table = SimpleNamespace(name=name, data=self._stores[name], changelog_topic=changelog)
            return StateKeeper(self, topic, table, codec, **options)  # type: ignore[arg-type]

        kept = keeper("books", "feed", BooksCodec(rules), max_age_s=self.world.max_age_s)
        chunks = keeper(
            "history",
            "closed",
            HistoryCodec(),
            max_age_s=self.world.max_age_s * 2,
            input_per_record=None,
            is_lazy=True,
        )
        return SimpleNamespace(
            books=kept,
            history=chunks,
            feed=Loopback(kept, 0),
            closed_windows=Loopback(chunks, 0),
            rules=rules,
            metrics=SimpleNamespace(refused=lambda reason: None),
            heard=lambda partition, frame: None,
            is_behind=lambda frame: self.world.random.random() < 0.5,
            closed=lambda partition, window, record: None,
            saw_window=lambda *window: None,
            partition_of=lambda name: partition_of(name, self.world.partitions),
        )

    # The app

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guard(self, work: Awaitable[Any]) -> None:
        try:
            await work
        except Gone:
            pass
        except Exception as error:
            self.world.ended(self, error)

    def task(self, function: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        self._starts.append(function)
        return function

    def agent(self, topic: str, **_: Any) -> Any:
        queue = self._queues[topic] = asyncio.Queue()
        stream = SimpleNamespace(events=lambda: self._events(queue))

        def register(function: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
            self._starts.append(lambda: function(stream))
            return function

        return register

    async def _events(self, queue: asyncio.Queue[Delivery]) -> AsyncIterator[Any]:
        while True:
            delivery = await queue.get()
            await self.gate()
            yield SimpleNamespace(value=delivery)

    def topic_name(self, name: str) -> str:
        return name

    input_topic = topic_name

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.gate()

    async def crash(self, error: BaseException) -> None:
        self.world.ended(self, error)

    # Life

    async def gate(self) -> None:
        """Wait while the process is paused."""
        await self._running.wait()
        if not self.is_alive:
            raise Gone

    def pause(self) -> None:
        self._running.clear()

    @property
    def is_paused(self) -> bool:
        return not self._running.is_set()

    def resume(self) -> None:
        self._running.set()
        postponed, self._postponed = self._postponed, []
        for callback in postponed:
            callback()

    def _answer(self, callback: Callable[[], None]) -> None:
        """Hand something to the process: later if it is paused, never if it is gone."""
        if not self.is_alive:
            return
        if self.is_paused:
            self._postponed.append(callback)
        else:
            callback()

    def kill(self) -> None:
        """End the process in the midst of whatever it is doing; its disk stays as it is."""
        self.is_alive = False
        self.should_stop = True
        self.flow_active = False
        for task in list(self._tasks):
            if task is not asyncio.current_task():
                task.cancel()
        self._running.set()
        for store in self._stores.values():
            for database in store._dbs.values():
                database.close()
            store._dbs.clear()

    # The producer

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int, *_: Any
    ) -> asyncio.Future[Any]:
        await self.gate()
        return self._to_kafka(TP(topic, partition), [(key, value)])

    def create_batch(self, codec: int = 0) -> Batch:
        return Batch(self.world.random.choice((1, 2, 5, 100)))

    async def send_batch(self, topic: str, partition: int, batch: Batch) -> asyncio.Future[Any]:
        await self.gate()
        if self.world.random.random() < 0.3:
            await self.sleep(self.world.kafka.delay_s())  # the batch before has not gone
        return self._to_kafka(TP(topic, partition), batch.pairs)

    def _to_kafka(self, tp: TP, pairs: Any) -> asyncio.Future[Any]:
        future = self.world.kafka.send(self, tp, pairs, self._answer)
        future.add_done_callback(self._check_sent)
        return future

    def _check_sent(self, future: asyncio.Future[Any]) -> None:
        """End the worker after a failed send, as the product's sensor does."""
        if not future.cancelled() and (error := future.exception()) is not None:
            self.world.ended(self, error)

    # The consumer

    def leave_out(self, tp: TP) -> None:
        self.unfetched.add(tp)

    def _keeper(self, tp: TP) -> StateKeeper[Any]:
        return next(keeper for keeper in self.keepers if keeper.wants(tp))

    async def _fetch_loop(self) -> None:
        while True:
            await self.sleep(FETCH_S + self.world.kafka.delay_s())
            if not self.flow_active:
                continue
            for keeper in self.keepers:
                for tp, offset in keeper.rereads().items():
                    self._positions[tp] = offset
                    keeper.reread_done(tp)
                    self.unfetched.discard(tp)
                self._fetch(keeper)

    def _fetch(self, keeper: StateKeeper[Any]) -> None:
        if len([each for each in self._undone if each.records[0].topic == keeper.topic]) >= 2:
            return
        records = []
        for number in keeper.partitions:
            tp = keeper.input_tp(number)
            if tp in self.unfetched:
                continue
            log = self.world.kafka.logs[tp]
            position = self._positions.get(tp, 0)
            if position < log.first:
                position = log.first
            found = log.from_offset(position, self.world.random.choice((1, 3, 20)))
            if found:
                self._positions[tp] = found[-1].offset + 1
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

    async def _commit_loop(self) -> None:
        while True:
            await self.sleep(self.world.random.uniform(0.5, 1.5) * CHECKPOINT_S)
            await self.commit(self.generation)

    async def commit(self, generation: int, *, whole: bool = False) -> None:
        """Checkpoint, then commit what the checkpoint includes; fence if it is refused."""
        async with self._committing:
            offsets: dict[TP, int] = {}
            for keeper in self.keepers:
                for number in list(keeper.partitions):
                    tp = keeper.input_tp(number)
                    if keeper.committable(tp) is None:
                        continue
                    position = await keeper.checkpoint(number, whole=whole)
                    if position is not None:
                        offsets[tp] = position
            await self.sleep(self.world.kafka.delay_s())
            if offsets and not self.world.group.commit(self, generation, offsets):
                self.world.note(self.name, "commit refused")
                for keeper in self.keepers:
                    for tp in offsets:
                        if keeper.wants(tp):
                            keeper.fence(tp)

    async def revoke(self) -> None:
        """Give up all partitions: the last checkpoint and commit have a bounded time."""
        await self.gate()
        self.flow_active = False
        self.generation, generation = -1, self.generation
        try:
            async with asyncio.timeout(FINAL_COMMIT_S):
                await self.commit(generation, whole=True)
        except TimeoutError:
            self.world.note(self.name, "last commit ran out of time")
        await self.gate()
        for keeper in self.keepers:
            keeper.drop(list(keeper.partitions))
            if keeper.loopback is not None:
                keeper.loopback.forget()
        for store in self._stores.values():
            store._dbs.clear()  # Faust drops its handles
        self.unfetched.clear()

    async def take_over(self, partitions: list[int], generation: int) -> None:
        """Recover the tables of partitions, seek to what is committed, and begin."""
        await self.gate()
        self.generation = generation
        for keeper in self.keepers:
            for number in partitions:
                await self._recover(keeper, number, generation)
        await self.sleep(self.world.kafka.delay_s())
        if self.generation != generation:
            return
        begun = []
        for keeper in self.keepers:
            for number in partitions:
                tp, changelog = keeper.input_tp(number), keeper.changelog_tp(number)
                log, states = self.world.kafka.logs[tp], self.world.kafka.logs[changelog]
                begun.append((keeper, tp, log.first, log.end, range(states.first, states.end)))
        committed = dict(self.world.kafka.committed)
        await self.sleep(self.world.kafka.delay_s())
        if self.generation != generation:
            return
        for keeper, tp, first, end, states in begun:
            position = max(committed.get(tp, 0), first)
            keeper.begin(tp.partition, position if position <= end else first, first, end, states)
            self._positions[tp] = keeper.partitions[tp.partition].position
        self.world.began(self)
        for keeper in self.keepers:
            if keeper.loopback is not None:
                keeper.loopback.forget()
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
            events = [
                SimpleNamespace(
                    message=SimpleNamespace(
                        tp=tp,
                        partition=number,
                        offset=record.offset,
                        key=record.key,
                        value=record.value,
                    )
                )
                for record in found
            ]
            store.apply_changelog_batch(events, None, None)
            offset = found[-1].offset + 1
