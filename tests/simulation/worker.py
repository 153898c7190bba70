"""A simulated worker runs the product's agents, keepers, stores and codecs on a simulated client.

What is replaced is Faust's consumer and producer (client.py), the disk, and the clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from agents.books import Books
from agents.history import History
from app.processing.processor import Processor, Rules
from app.processing.state_codec import BooksCodec
from app.state.history_chunks import HistoryCodec
from app.topics.partitioner import partition_of
from faust_exact.fast.local_delivery import Loopback
from faust_exact.partition_states import StateKeeper
from faust_exact.record_batch import Delivery
from tests.simulation.client import Client, Gone
from tests.simulation.disk import Disk, store_on

if TYPE_CHECKING:
    from tests.simulation.world import World


class Process(Client):
    """The app that agents and keepers see; also its consumer and its producer."""

    def __init__(self, world: World, number: int, disk: Disk) -> None:
        super().__init__()
        self.world, self.number, self.disk = world, number, disk
        self.name = f"worker-{number}"
        self.is_alive = True
        self.should_stop = False
        self.producer = self.consumer = self
        self.conf = SimpleNamespace()
        self.options = SimpleNamespace(
            live_interval_ms=250, history=world.plan.history, worker_name=self.name
        )
        self._running = asyncio.Event()
        self._running.set()
        self._postponed: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._starts: list[Callable[[], Coroutine[Any, Any, Any]]] = []
        self._stores = {name: store_on(disk, name) for name in ("books", "history")}
        self.written: Any = self._make_state()
        self.keepers: list[StateKeeper[Any]] = [self.written.books, self.written.history]
        for agent in (Books, History):
            agent(self, self.written).register()  # type: ignore[arg-type]
        for start in self._starts:
            self.spawn(start())
        self.spawn(self.fetch_loop())
        self.spawn(self.commit_loop())

    def _make_state(self) -> Any:
        plan = self.world.plan
        rules = Rules(plan.lengths_ms, 250, 3_000)

        def keeper(name: str, topic: str, codec: Any, **options: Any) -> StateKeeper[Any]:
            changelog = SimpleNamespace(get_topic_name=lambda: f"{name}-changelog")
            table = SimpleNamespace(name=name, data=self._stores[name], changelog_topic=changelog)
            return StateKeeper(self, topic, table, codec, **options)  # type: ignore[arg-type]

        kept = keeper(
            "books",
            "feed",
            BooksCodec(rules),
            max_age_s=plan.max_age_s,
            input_per_record=plan.input_per_record,
        )
        kept.on_missed = Processor.miss
        chunks = keeper(
            "history",
            "closed",
            HistoryCodec(),
            max_age_s=plan.max_age_s * 2,
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
            closed=lambda partition, instrument, record: None,
            saw_window=lambda *window: None,
            partition_of=lambda name: partition_of(name, plan.partitions),
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

    async def reach(self, moment: str) -> None:
        """Be at a moment that a fault may wait for."""
        self.world.reached(self, moment)
        await self.gate()

    def pause(self) -> None:
        self._running.clear()
        if self.world.random.random() < 0.7:
            self.world.kafka.hold(self)

    @property
    def is_paused(self) -> bool:
        return not self._running.is_set()

    def resume(self) -> None:
        self.world.kafka.release(self)
        self._running.set()
        postponed, self._postponed = self._postponed, []
        for callback in postponed:
            callback()

    def later(self, callback: Callable[[], None]) -> None:
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

    def forget_databases(self) -> None:
        """Let go of all databases, as Faust does of what was revoked."""
        for store in self._stores.values():
            store._dbs.clear()
