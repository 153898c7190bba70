"""A seeded run has workers, a consumer group, a feed and faults, and checks what must hold.

At every record of the changelog: it holds the state of its key exactly as of its position. After
the faults: states, windows and history equal those of a processor that read the feed undisturbed.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import rocksdict
from faust.types import TP

from agents.history import decode_closed
from app.monitoring.task_dump import standing
from app.processing.processor import Processor, Rules
from app.processing.state_codec import BooksCodec
from app.state.history_chunks import Chunk, HistoryCodec
from app.topics.partitioner import partition_of
from faust_exact.checkpoint import NO_STATE
from faust_exact.fast.local_delivery import Appended
from faust_exact.state_record import position_of
from models.frame import decode_frame, encode_frame
from models.window import encode_window
from tests.processing.feeds import STEPS, Market, Venue, Writer
from tests.simulation.clock import SimulatedLoop, simulated_time
from tests.simulation.disk import Disk, WriteBatch
from tests.simulation.kafka import SimulatedKafka, Stored
from tests.simulation.worker import Process

SESSION_S: Final = 8.0
QUIET_S: Final = 60.0
"""Simulated time in which a group without faults must have caught up."""
MARKETS: Final = (
    Market("BTC-PERPETUAL", 83_900.5, 0.5, 10.0),
    Market("ETH-PERPETUAL", 2_900.05, 0.05, 1.0),
    Market("BNB_USDC-PERPETUAL", 643.2711, 0.0013, 0.37),
)
FEED_STEPS: Final = tuple(step for step in STEPS if step not in ("jump", "future"))
"""Without jumps of hours, each of which closes thousands of windows."""


class Wrong(AssertionError):
    """An invariant does not hold."""


@dataclass
class Plan:
    """How much of what is simulated."""

    workers: int = 2
    partitions: int = 2
    steps: int = 40
    """Of each instrument's feed."""
    duration_s: float = 20.0
    """Simulated time in which the feed is written and faults happen."""


class Group:
    """The consumer group: a generation, an assignment, and which commits are taken."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.generation = 0
        self.members: set[Process] = set()
        self._rebalancing = asyncio.Lock()

    def commit(self, process: Process, generation: int, offsets: dict[TP, int]) -> bool:
        """Take a commit of a member of this generation; refuse that of any other."""
        if process not in self.members or generation != self.generation:
            return False
        for tp, offset in offsets.items():
            self.world.committed(process, tp, offset)
        return True

    async def rebalance(self, why: str) -> None:
        """Share all partitions anew among the processes that answer within their session."""
        async with self._rebalancing:
            world = self.world
            world.note("group", "rebalances:", why)
            asked = [each for each in world.processes if each is not None and each.is_alive]
            await asyncio.gather(*(self._ask(each) for each in asked))
            self.generation += 1
            self.members = {each for each in self.members if each.is_alive}
            takers = sorted(self.members, key=lambda each: each.number)
            world.random.shuffle(takers)
            numbers = list(range(world.plan.partitions))
            world.random.shuffle(numbers)
            shares: dict[Process, list[int]] = {each: [] for each in takers}
            for place, number in enumerate(numbers):
                if takers:
                    shares[takers[place % len(takers)]].append(number)
            for process, share in shares.items():
                world.note("group", process.name, "gets", share, f"generation {self.generation}")
                process.spawn(process.take_over(share, self.generation))

    async def _ask(self, process: Process) -> None:
        """Have a process give up what it has; who does not answer is a member no more."""
        self.members.add(process)
        revoking = process.spawn(process.revoke())
        await asyncio.wait([revoking], timeout=SESSION_S)
        if not revoking.done():
            self.world.note("group", process.name, "does not answer")
            self.members.discard(process)


@dataclass
class Undisturbed:
    """What a processor makes of a partition of the feed, record by record, with no disturbance."""

    rules: Rules
    states: dict[bytes, Processor] = field(default_factory=dict)
    versions: defaultdict[bytes, list[tuple[int, Any]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By key: (offset, state as a record) after each record of the feed that changed it."""
    windows: dict[tuple[Any, ...], bytes] = field(default_factory=dict)
    read: int = 0

    def feed(self, record: Stored) -> None:
        """Apply the next record of the feed."""
        frame = decode_frame(record.value or b"")
        if frame.sequence:
            key = frame.instrument.encode()
            if key not in self.states:
                self.states[key] = Processor(frame.instrument, self.rules)
            told = [key]
        else:
            told = list(self.states)
        for key in told:
            for window in self.states[key].feed(frame).windows:
                self.windows[window_key(window)] = encode_window(window)
            self.versions[key].append((record.offset, as_record(self.states[key])))
        self.read = record.offset + 1

    def as_of(self, key: bytes, position: int) -> Any:
        """Return the state of a key as of a position; None if there is none yet."""
        found = [state for offset, state in self.versions[key] if offset < position]
        return found[-1] if found else None


def as_record(state: Processor) -> str:
    """Return what a state record holds, for comparison."""
    return repr(state.to_record())


def window_key(window: dict[str, Any]) -> tuple[Any, ...]:
    """Return what identifies a window."""
    return window["instrument"], window["length_ms"], window.get("hop_ms"), window["start_ms"]


class World:
    """All of one run."""

    lengths_ms = (1_000, 10_000)
    grace_ms = 250
    max_age_s = 1.0
    history_windows = 1_000_000

    def __init__(self, seed: int, plan: Plan, make_faults: Any) -> None:
        self.seed, self.plan = seed, plan
        self.partitions = plan.partitions
        self.random = Random(seed)
        self.trace: list[str] = []
        self.kafka = SimulatedKafka(self.random, self.note)
        self.kafka.on_landed = self.landed
        self.rules = Rules(self.lengths_ms, self.grace_ms, 3_000)
        self.truth = [Undisturbed(self.rules) for _ in range(plan.partitions)]
        self.codec = BooksCodec(self.rules)
        self.processes: list[Process | None] = [None] * plan.workers
        self.folder = Path(tempfile.mkdtemp(prefix="steelyard-simulation-"))
        self.group = Group(self)
        self.failure: BaseException | None = None
        self.checked = 0
        """Records of the changelog that were compared."""
        self._make_faults = make_faults
        self._disks: list[Disk] = [{} for _ in range(plan.workers)]

    # Told by the parts

    def note(self, who: str, *what: object) -> None:
        """Add a line to the trace."""
        now_s = asyncio.get_running_loop().time()
        self.trace.append(f"{now_s:9.3f} s  {who:9} {' '.join(map(str, what))}")

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
            process.kill()

    def began(self, process: Process) -> None:
        held = {number: part.position for number, part in process.shared.books.partitions.items()}
        self.note(process.name, "begins at", held)
        for number, partition in process.shared.books.partitions.items():
            for key, state in partition.states.items():
                self._check_state(number, key, state.position, as_record(state), "loaded")

    def landed(self, record: Stored) -> None:
        """Look at each record when it lands."""
        if record.topic == "feed":
            self.truth[record.partition].feed(record)
        elif record.topic == "books-changelog" and record.value is not None:
            assert record.key is not None
            state = self.codec.load(record.key, record.value)
            position = position_of(record.value)
            self.note("changelog", record.key.decode(), f"at {record.offset}: position {position}")
            self._check_state(record.partition, record.key, position, as_record(state), "written")

    def committed(self, process: Process, tp: TP, offset: int) -> None:
        before = self.kafka.committed.get(tp, 0)
        self.kafka.committed[tp] = offset
        if tp.topic == "feed":
            self.note(process.name, f"commits {tp.partition} at {offset}")
            if offset < before:
                self.note(process.name, f"went back from {before}")
            self._check_commit(tp, offset)

    # Checks

    def _check_state(self, number: int, key: bytes, position: int, state: str, how: str) -> None:
        self.checked += 1
        if position > self.truth[number].read:
            self.wrong(f"{key!r} {how} with position {position} beyond the feed")
        elif state != self.truth[number].as_of(key, position):
            self.wrong(f"{key!r} {how}: not the state as of position {position}")

    def _check_commit(self, tp: TP, offset: int) -> None:
        """What is committed is in the changelog: a recovery would compute nothing less."""
        truth, records = self.truth[tp.partition], self.newest(tp.partition)
        for key, versions in truth.versions.items():
            due = [changed for changed, _ in versions if changed < offset]
            if due and (key not in records or position_of(records[key]) <= due[-1]):
                self.wrong(f"{key!r}: {offset} is committed, {due[-1]} is in no record")

    def newest(self, number: int) -> dict[bytes, bytes]:
        """Return what a recovery would load: of each key the record with the highest position."""
        found: dict[bytes, bytes] = {}
        for record in self.kafka.logs[TP("books-changelog", number)].records:
            if record.value is None or record.key is None:
                continue
            known = found.get(record.key)
            if known is None or position_of(record.value) >= position_of(known):
                found[record.key] = record.value
        return found

    def check_end(self) -> None:
        """Compare all that was written with the undisturbed run."""
        for number, truth in enumerate(self.truth):
            records = self.newest(number)
            for key, state in truth.states.items():
                position = truth.versions[key][-1][0]
                if key not in records or position_of(records[key]) <= position:
                    self.wrong(f"{key!r}: the last record does not include {position}")
                elif as_record(self.codec.load(key, records[key])) != as_record(state):
                    self.wrong(f"{key!r}: the last record is not the undisturbed state")
            self._check_last_wins(number)
            self._check_windows(number, truth)

    def _check_last_wins(self, number: int) -> None:
        """Compaction keeps the last record of a key: that one must be the newest state."""
        last: dict[bytes, bytes] = {}
        for record in self.kafka.logs[TP("books-changelog", number)].records:
            if record.value is not None and record.key is not None:
                last[record.key] = record.value
        for key, newest in self.newest(number).items():
            if position_of(last[key]) < position_of(newest):
                self.wrong(f"{key!r}: the changelog does not end with its newest record")

    def _check_windows(self, number: int, truth: Undisturbed) -> None:
        by_key = {value: key for key, value in truth.windows.items()}
        published: set[bytes] = set()
        for record in self.kafka.logs[TP("windows", number)].records:
            if record.value not in by_key:
                self.wrong(f"partition {number}: a window was published that is not so")
            published.add(record.value or b"")
        if missing := len(by_key.keys() - published):
            self.wrong(f"partition {number}: {missing} windows were never published")
        closed = {
            window.value
            for record in self.kafka.logs[TP("closed", number)].records
            for window in decode_closed(record.value or b"")
        }
        if closed != by_key.keys():
            self.wrong(f"partition {number}: `closed` has not the windows that there are")
        kept = {value for chunk in self._chunks(number) for value in chunk.windows.values()}
        if kept != by_key.keys():
            lost = [key for value, key in by_key.items() if value not in kept]
            self.wrong(
                f"partition {number}: the history lacks {sorted(lost, key=str)[:5]}, "
                f"and has {len(kept - by_key.keys())} that are not so"
            )

    def _chunks(self, number: int) -> Iterator[Chunk]:
        last: dict[bytes, bytes | None] = {}
        for record in self.kafka.logs[TP("history-changelog", number)].records:
            if record.key is not None and record.key != NO_STATE:
                last[record.key] = record.value
        for key, value in last.items():
            if value is not None:
                yield HistoryCodec().load(key, value)

    # The run

    def start(self, number: int) -> None:
        """Start a worker, on the disk that it had."""
        self.processes[number] = Process(self, number, self._disks[number])
        self.note(f"worker-{number}", "starts")

    def lose_disk(self, number: int) -> None:
        self._disks[number] = {}
        self.note(f"worker-{number}", "lost its disk")

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
            self.check_end()

    async def _write_feed(self) -> None:
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
            items = Venue(market, 1_000).play([("snapshot", 0, 59_048), *steps, ("tick", 9, 2)])
            frames = Writer(market).frames(items, [self.random.randrange(1, 5)])
            feeds.append((market.instrument, frames))
        pause_s = self.plan.duration_s / max(1, sum(len(frames) for _, frames in feeds))
        while feeds:
            name, frames = self.random.choice(feeds)
            frame = frames.pop(0)
            feeds = [each for each in feeds if each[1]]
            key = frame.instrument.encode() or None
            await self._write(partition_of(name, self.partitions), key, encode_frame(frame))
            await asyncio.sleep(pause_s * self.random.uniform(0.2, 1.8))

    async def _write(self, number: int, key: bytes | None, value: bytes) -> None:
        """Append a frame: as the owner does, with local delivery, or as another writer does."""
        owners = [
            each
            for each in self.processes
            if each is not None
            and each.is_alive
            and not each.is_paused
            and each.flow_active
            and number in each.shared.books.partitions
        ]
        if owners and self.random.random() < 0.7:
            process = self.random.choice(owners)
            process.spawn(process.shared.feed.append(number, [Appended(key, value)]))
        else:
            self.kafka.append(TP("feed", number), [(key, value)])

    async def _settle(self) -> None:
        """End all faults, and wait until everything is applied, written and committed."""
        self.note("faults", "end")
        self.kafka.failing = self.kafka.repeating = 0.0
        self.kafka.slowness = 1.0
        for number, process in enumerate(self.processes):
            if process is None or not process.is_alive:
                self.start(number)
            elif process.is_paused:
                process.resume()
        await asyncio.sleep(2.0)
        await self.group.rebalance("last")
        loop = asyncio.get_running_loop()
        until_s = loop.time() + QUIET_S
        while self.failure is None:
            await asyncio.sleep(1.0)
            if self._is_done():
                break
            if loop.time() > until_s:
                self.trace += standing([loop])
                self.wrong(f"not settled: {self._standing()}")
        await asyncio.sleep(5.0)
        for process in self.processes:
            if process is not None and process.is_alive:
                await process.revoke()

    def _standing(self) -> dict[TP, tuple[int, int]]:
        return {
            tp: (self.kafka.committed.get(tp, 0), log.end)
            for tp, log in self.kafka.logs.items()
            if tp.topic == "feed"
        }

    def _is_done(self) -> bool:
        return all(committed >= end for committed, end in self._standing().values())

    def close(self) -> None:
        for process in self.processes:
            if process is not None:
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def simulate(seed: int, plan: Plan, make_faults: Callable[[World], Any]) -> World:
    """Run one seed to its end; the world that is returned says what failed, if anything."""
    loop = SimulatedLoop()
    world: World | None = None

    async def run() -> World:
        nonlocal world
        world = World(seed, plan, make_faults)
        try:
            running = asyncio.ensure_future(world.run())
            while not running.done():
                await asyncio.wait([running], timeout=1.0)
                if world.failure is not None and not running.done():
                    running.cancel()
            if not running.cancelled() and (error := running.exception()) is not None:
                world.failure = world.failure or error
        finally:
            world.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return world

    with simulated_time(loop, Random(seed)), pytest.MonkeyPatch.context() as patch:
        patch.setattr(rocksdict, "WriteBatch", WriteBatch)
        try:
            return loop.run_until_complete(run())
        finally:
            loop.close()
