"""Two workers fight for a partition, step by step as a seed says; keeper and store are real.

Only Kafka is a list here, so that an append of a worker that was paused can land at any time. What
must hold after every step that reads a state: it includes exactly the records of its key below its
position, and nothing that is committed is missing from it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from faust.types import TP

from faust_exact import checkpoint as checkpoints
from faust_exact.partition import Partition
from faust_exact.partition_states import StateKeeper
from faust_exact.state_record import check_read, check_written, pack, unpack
from faust_exact.store import StateStore
from tests.faust_exact.test_store import store_in

SEEDS = range(250)
STEPS = 60
FEED = 16
KEYS = 3
CHANGELOG = TP("books-changelog", 0)
SETTLED_TURNS = 12
"""Turns of the loop after which nothing goes on that does not wait for the next step."""


class Wrong(AssertionError):
    """A state is not what the feed says."""


class Applied(msgspec.Struct):
    """A state that knows every offset that it was told of."""

    offsets: list[int] = []
    position: int = 0


class AppliedCodec:
    def load(self, key: bytes, record: bytes) -> Applied:
        position, payload = unpack(record, 1)
        state = msgspec.json.decode(payload, type=Applied)
        check_read(position, state.position)
        state.position = position
        return state

    def dump(self, key: bytes, state: Applied, position: int) -> bytes:
        check_written(position, state.position)
        return pack(1, position, msgspec.json.encode(state))


@dataclass
class Disk:
    """What a worker's table holds; a crash leaves it as it is."""

    store: StateStore

    def open(self) -> StateStore:
        """Open the table as a process does that has just started."""
        self.store.doubtful.clear()
        self.store._dbs.pop(0, None)
        self.store._db_for_partition(0)
        return self.store

    def wipe(self) -> None:
        database = self.store._db_for_partition(0)
        for key in list(database.keys()):
            del database[key]


@dataclass
class World:
    """The group, the feed, and the changelog."""

    drawn: random.Random
    feed: list[bytes] = field(default_factory=list)
    changelog: list[tuple[int, bytes, bytes | None]] = field(default_factory=list)
    end: int = 0
    """Of the changelog."""
    committed: int = 0
    generation: int = 0
    trace: list[str] = field(default_factory=list)

    def append(self, key: bytes, value: bytes | None) -> int:
        self.changelog.append((self.end, key, value))
        self.end += 1
        return self.end - 1

    def compact(self) -> None:
        """Keep of each key the last record, as Kafka does in the end."""
        last = {key: offset for offset, key, _ in self.changelog}
        self.changelog = [each for each in self.changelog if last[each[1]] == each[0]]

    def check(self, key: bytes, state: Applied, why: str) -> None:
        wanted = [at for at, each in enumerate(self.feed) if each == key and at < state.position]
        if state.offsets != wanted:
            raise Wrong(f"{key!r} {why}: as of {state.position} it was told {state.offsets}")
        missing = [at for at, each in enumerate(self.feed[: self.committed]) if each == key]
        if not set(missing) <= set(state.offsets):
            raise Wrong(f"{key!r} {why}: {self.committed} is committed, it has {state.offsets}")


class Simulated:
    """A worker that has been given the partition."""

    def __init__(self, world: World, store: StateStore, *, is_lazy: bool) -> None:
        self.world = world
        self.generation = world.generation
        self.waiting: list[tuple[bytes, bytes | None, asyncio.Future[Any]]] = []
        self.checkpointing: asyncio.Task[None] | None = None
        topic = SimpleNamespace(get_topic_name=lambda: CHANGELOG.topic)
        table: Any = SimpleNamespace(name="books", data=store, changelog_topic=topic)
        app: Any = SimpleNamespace(producer=self)
        self.keeper = StateKeeper(app, "feed", table, AppliedCodec(), is_lazy=is_lazy)
        self.keeper.apply = self.apply
        self.recover()

    def recover(self) -> None:
        """Read the changelog from the persisted offset on, in batches, as Faust does."""
        store, world = self.keeper.store, self.world
        persisted = store.persisted_offset(CHANGELOG)
        events = [
            SimpleNamespace(
                message=SimpleNamespace(tp=CHANGELOG, partition=0, offset=offset, key=k, value=v)
            )
            for offset, k, v in world.changelog
            if persisted is None or offset > persisted
        ]
        while events:
            size = world.drawn.randrange(1, 5)
            batch: Any = events[:size]
            store.apply_changelog_batch(batch, bytes, bytes)
            del events[:size]
        self.keeper.begin(0, world.committed, 0, len(world.feed), range(world.end))
        for key in {*world.feed[: world.committed]}:
            world.check(key, self.keeper.peek(0, key) or Applied(), "taken over")

    @property
    def partition(self) -> Partition[Applied]:
        return self.keeper.partitions[0]

    @property
    def is_zombie(self) -> bool:
        return self.generation != self.world.generation

    @property
    def is_calm(self) -> bool:
        """Whether it has nothing to write that an operator could wait for."""
        partition = self.partition
        return not (self.is_zombie or self.waiting or partition.unsure or partition.dirty) and (
            self.checkpointing is None or self.checkpointing.done()
        )

    async def apply(self, partition: Partition[Applied], record: Any) -> None:
        state = self.keeper.state(partition, record.key)
        if state is None:
            state = partition.states[record.key] = Applied([])
        if state.position <= record.offset:
            if record.offset in state.offsets:
                raise Wrong(f"{record.key!r} is told of {record.offset} a second time")
            state.offsets = [*state.offsets, record.offset]
            state.position = record.offset + 1
            partition.touch(record.key, record.offset)

    async def take(self) -> None:
        at = self.partition.position
        key = self.world.feed[at]
        await self.keeper.take(
            SimpleNamespace(topic="feed", partition=0, offset=at, key=key, value=b"")
        )

    async def send(
        self, topic: str, key: bytes, value: bytes | None, *_: Any
    ) -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((key, value, future))
        return future

    def land(self) -> None:
        key, value, future = self.waiting.pop(0)
        offset = self.world.append(key, value)
        if not future.done():
            future.set_result(SimpleNamespace(offset=offset))

    async def checkpoint(self) -> None:
        safe = await self.keeper.checkpoint(0)
        if safe is None:
            return
        if self.is_zombie:
            self.keeper.fence(TP("feed", 0))
        else:
            self.world.committed = safe
            self.keeper.committed(TP("feed", 0))

    def kill(self) -> None:
        if self.checkpointing is not None:
            self.checkpointing.cancel()


class Simulation:
    """One run: a seed draws who does what."""

    def __init__(self, seed: int, disks: list[Disk]) -> None:
        self.drawn = random.Random(seed)
        self.world = World(self.drawn)
        self.world.feed = [b"%d" % self.drawn.randrange(KEYS) for _ in range(FEED)]
        self.is_lazy = self.drawn.random() < 0.3
        self.disks = disks
        self.workers: list[Simulated | None] = [None, None]
        for disk in disks:
            disk.wipe()

    def note(self, number: int, what: str) -> None:
        self.world.trace.append(f"worker {number} {what}")

    async def run(self) -> None:
        try:
            for _ in range(STEPS):
                number = self.drawn.randrange(2)
                worker = self.workers[number]
                if worker is None:
                    self.begin(number)
                else:
                    await self.step(number, worker)
        finally:
            for worker in filter(None, self.workers):
                worker.kill()
            await settle()

    def begin(self, number: int) -> None:
        if self.drawn.random() < 0.15:
            self.note(number, "loses its disk")
            self.disks[number].wipe()
        self.world.generation += 1
        self.note(number, f"takes over at {self.world.committed}")
        store = self.disks[number].open()
        self.workers[number] = Simulated(self.world, store, is_lazy=self.is_lazy)

    async def step(self, number: int, worker: Simulated) -> None:
        drawn, partition = self.drawn.random(), worker.partition
        busy = worker.checkpointing
        if busy is not None and busy.done() and busy.exception() is not None:
            raise busy.exception() or Wrong("unreachable")
        if drawn < 0.45:
            if partition.position < FEED and not partition.is_fenced:
                self.note(number, f"applies {partition.position}")
                await worker.take()
        elif drawn < 0.63:
            if busy is None or busy.done():
                self.note(number, "begins a checkpoint")
                worker.checkpointing = asyncio.create_task(worker.checkpoint())
                await settle()
        elif drawn < 0.86:
            if worker.waiting:
                self.note(number, "has a record appended")
                worker.land()
                await settle()
        elif drawn < 0.9:
            if worker.is_calm and all(each is None or each is worker for each in self.workers):
                self.note(number, "sees the changelog compacted")
                self.world.compact()
        elif not (worker.is_zombie and worker.waiting) or drawn > 0.97:
            self.note(number, "is killed")
            worker.kill()
            await settle()
            self.workers[number] = None


async def settle() -> None:
    for _ in range(SETTLED_TURNS):
        await asyncio.sleep(0)


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Disk]]:
    monkeypatch.setattr(checkpoints, "MAX_RESENT_RECORDS", 1)
    disks = []
    for name in ("one", "another"):
        store = store_in(tmp_path / name)
        database = store._db_for_partition(0)
        monkeypatch.setattr(store, "_open_healthy", lambda _, database=database: database)
        disks.append(Disk(store))
    yield disks
    for disk in disks:
        disk.store._db_for_partition(0).close()


async def test_no_crash_no_zombie_and_no_lost_disk_makes_a_state_wrong(disks: list[Disk]) -> None:
    for seed in SEEDS:
        simulation = Simulation(seed, disks)
        try:
            await simulation.run()
        except Exception as error:
            steps = "\n  ".join(simulation.world.trace)
            pytest.fail(f"seed {seed}: {error!r} after\n  {steps}")
