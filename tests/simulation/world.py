"""A seeded run: workers, a consumer group, a feed, faults, and what all of it is checked by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Final

import pytest
import rocksdict
from faust.types import TP

from app.monitoring.task_dump import unfinished_tasks
from app.processing.processor import Rules
from app.topics.partitioner import partition_of
from faust_exact import checkpoint as checkpoints
from faust_exact.fast import local_delivery as loopback
from faust_exact.fast.local_delivery import Appended
from models.frame import Frame, encode_frame
from tests.processing.feeds import STEPS, Market, Venue, Writer
from tests.simulation.checks import Checks
from tests.simulation.clock import SimulatedLoop, simulated_time
from tests.simulation.disk import Disk, WriteBatch
from tests.simulation.group import Group
from tests.simulation.kafka import SimulatedKafka
from tests.simulation.plan import Plan
from tests.simulation.worker import Process

QUIET_S: Final = 60.0
"""Simulated time in which a group without faults must have caught up."""
MARKETS: Final = (
    Market("BTC-PERPETUAL", 83_900.5, 0.5, 10.0),
    Market("ETH-PERPETUAL", 2_900.05, 0.05, 1.0),
    Market("BNB_USDC-PERPETUAL", 643.2711, 0.0013, 0.37),
)
FEED_STEPS: Final = tuple(step for step in STEPS if step not in ("jump", "future"))
"""Without jumps of hours, each of which closes thousands of windows."""

Ambush = Callable[[Process, str], bool]
"""Is told of a moment that a process has reached; true if that was what it waited for."""


class Wrong(AssertionError):
    """An invariant does not hold."""


class World:
    """All of one run."""

    def __init__(self, seed: int, plan: Plan, make_faults: Callable[[World], Any]) -> None:
        self.seed, self.plan = seed, plan
        self.random = Random(seed)
        self.trace: list[str] = []
        self.failure: BaseException | None = None
        self.rules = Rules(plan.lengths_ms, 250, 3_000)
        self.kafka = SimulatedKafka(self.random, self.note, plan.brokers)
        self.group = Group(self)
        self.processes: list[Process | None] = [None] * plan.workers
        self.checks = Checks(self)
        self.kafka.on_landed = self.checks.landed
        self.ambushes: list[Ambush] = []
        self.trimmed: set[int] = set()
        """Partitions of which records were deleted that were processed."""
        self.inexact: set[int] = set()
        """Partitions of which records were deleted that were not processed."""
        self.is_remade = False
        """Whether the changelogs were made anew."""
        self._make_faults = make_faults
        self._disks: list[Disk] = [{} for _ in range(plan.workers)]
        self._under_way: set[asyncio.Task[Any]] = set()
        self.is_settling = False
        """Whether the faults are over."""

    # Told by the parts

    def note(self, who: str, *what: object) -> None:
        """Add a line to the trace."""
        now_s = asyncio.get_running_loop().time()
        self.trace.append(f"{now_s:9.3f} s  {who:17} {' '.join(map(str, what))}")

    def wrong(self, why: str) -> None:
        """Remember the first violation; the run ends with it."""
        self.note("CHECK", why)
        if self.failure is None:
            self.failure = Wrong(why)

    def ended(self, process: Process, error: BaseException) -> None:
        """A worker ends itself: after a failed send, or because a record cannot be applied."""
        if process.is_alive:
            self.note(process.name, "ends:", repr(error))
            if not isinstance(error, Exception) or "AppendFailed" not in repr(error):
                self.wrong(f"{process.name} ends: {error!r}")
            self.kill(process)

    def reached(self, process: Process, moment: str) -> None:
        """Let a fault that waits for a moment happen."""
        for ambush in list(self.ambushes):
            if ambush in self.ambushes and ambush(process, moment):
                self.ambushes.remove(ambush)

    # Processes

    def start(self, number: int) -> None:
        """Start a worker, on the disk that it had."""
        self.processes[number] = Process(self, number, self._disks[number])
        self.note(f"worker-{number}", "starts")

    def kill(self, process: Process) -> None:
        """Kill a worker; somebody starts it again, sooner or later."""
        if process.is_alive:
            process.kill()
            if self.random.random() < 0.5:
                self.kafka.forget(process)
            self.later(self._restart(process))

    async def _restart(self, process: Process) -> None:
        if self.random.random() < 0.4:
            await asyncio.sleep(self.plan.session_s)
            await self.group.rebalance("a worker is silent")
        await asyncio.sleep(self.random.choice((0.05, 0.5, 2.0)))
        if self.processes[process.number] is process and not self.is_settling:
            self.start(process.number)
            await self.group.rebalance("a worker came")

    def lose_disk(self, number: int, keep: set[int] | None = None) -> None:
        """Forget what is on the disk of a worker, but for some partitions."""
        disk = self._disks[number]
        for place in [place for place in disk if place[1] not in (keep or ())]:
            del disk[place]
        self.note(f"worker-{number}", "lost its disk", f"except of {keep}" if keep else "")

    def later(self, work: Coroutine[Any, Any, Any]) -> None:
        """Have something happen by the side."""
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    # The run

    async def run(self) -> None:
        """Write the feed while faults happen; then let all settle, and check."""
        for number in range(self.plan.workers):
            self.start(number)
        await self.group.rebalance("first")
        writing = asyncio.ensure_future(self._write_feed())
        await self._make_faults(self)
        await writing
        await self._settle()
        if self.failure is None:
            self.checks.end()

    def _frames(self) -> list[tuple[str, list[Frame]]]:
        feeds = []
        for market in MARKETS:
            steps = [
                (
                    self.random.choice(FEED_STEPS),
                    self.random.randrange(9),
                    self.random.randrange(2**16),
                )
                for _ in range(self.plan.steps)
            ]
            venue = Venue(market, self.plan.lengths_ms[0])
            items = venue.play([("snapshot", 0, 59_048), *steps, ("tick", 9, 2)])
            frames = Writer(market).frames(items, [self.random.randrange(1, 5)])
            feeds.append((market.instrument, frames))
        return feeds

    async def _write_feed(self) -> None:
        feeds = self._frames()
        pause_s = self.plan.duration_s / max(1, sum(len(frames) for _, frames in feeds))
        while feeds:
            name, frames = self.random.choice(feeds)
            frame = frames.pop(0)
            feeds = [each for each in feeds if each[1]]
            key = frame.instrument.encode() or None
            number = partition_of(name, self.plan.partitions)
            await self._write(number, key, encode_frame(frame))
            await asyncio.sleep(pause_s * self.random.choice((0.0, 0.5, 1.0, 2.5)))

    async def _write(self, number: int, key: bytes | None, value: bytes) -> None:
        """Append a frame: as the owner does, with local delivery, or as another writer does."""
        owners = [
            each
            for each in self.processes
            if each is not None
            and each.is_alive
            and not each.is_paused
            and each.flow_active
            and number in each.written.books.partitions
        ]
        if owners and self.random.random() < self.plan.own_share:
            process = self.random.choice(owners)
            process.spawn(process.written.feed.append(number, [Appended(key, value)]))
        else:
            self.kafka.append(TP("feed", number), [(key, value)])

    async def _settle(self) -> None:
        """End all faults, and wait until everything is applied, written and committed."""
        self.note("faults", "end")
        self.is_settling = True
        self.ambushes.clear()
        self.kafka.failing = self.kafka.repeating = 0.0
        self.group.lost_requests = self.group.lost_answers = 0.0
        self.kafka.slowness = self.kafka.slow_answers = 1.0
        self.kafka.slow_topic = ""
        for process in self.processes:
            if process is not None and process.is_paused:
                process.resume()
        await asyncio.sleep(6.5)  # what is on its way lands, and who fails has ended
        for number, process in enumerate(self.processes):
            if process is None or not process.is_alive:
                self.start(number)
        while self._under_way:
            await asyncio.wait(self._under_way)
        await self.group.rebalance("last")
        loop = asyncio.get_running_loop()
        until_s = loop.time() + QUIET_S
        while self.failure is None:
            await asyncio.sleep(1.0)
            if self._is_done():
                break
            if loop.time() > until_s:
                self.trace += unfinished_tasks([loop])
                self.wrong(f"not settled: {self._standing()}")
        await asyncio.sleep(self.plan.max_age_s * 2 + 3.0)  # the history is written, too

    def _standing(self) -> dict[TP, tuple[int, int]]:
        return {
            tp: (self.kafka.committed.get(tp, 0), log.end)
            for tp, log in self.kafka.logs.items()
            if tp.topic in ("feed", "closed")
        }

    def _is_done(self) -> bool:
        return all(committed >= end for committed, end in self._standing().values())

    def close(self) -> None:
        """End all processes."""
        for process in self.processes:
            if process is not None:
                process.kill()


def simulate(seed: int, plan: Plan, make_faults: Callable[[World], Any]) -> World:
    """Run one seed to its end; the world that is returned says what failed, if anything."""
    loop = SimulatedLoop()
    world: World | None = None

    async def run() -> World:
        nonlocal world
        world = World(seed, plan, make_faults)
        loop.after_step = world.checks.step
        try:
            running = asyncio.ensure_future(world.run())
            while not running.done():
                await asyncio.wait([running], timeout=1.0)
                if world.failure is not None and not running.done():
                    running.cancel()
            if not running.cancelled() and (error := running.exception()) is not None:
                world.failure = world.failure or error
            world.failure = world.failure or loop.failure
        finally:
            loop.after_step = None
            world.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return world

    with simulated_time(loop, Random(seed)), pytest.MonkeyPatch.context() as patch:
        patch.setattr(rocksdict, "WriteBatch", WriteBatch)
        patch.setattr(checkpoints, "MAX_RESENT_RECORDS", plan.resent)
        patch.setattr(checkpoints, "MAX_LATER", plan.later)
        patch.setattr(loopback, "MAX_WAITING_BYTES", plan.waiting_bytes)
        try:
            return loop.run_until_complete(run())
        finally:
            loop.close()
