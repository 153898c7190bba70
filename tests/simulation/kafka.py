"""A simulated Kafka: replicated logs that compaction and retention shorten, and the wire to them.

An append takes a simulated while to reach the leader of its partition, another until the replicas
have it, and its acknowledgement another. Consumers see what the replicas have. A leader that dies
takes with it what only it had: the producer sends that again, in order, or gives it up. An append
may land twice, or fail with or without having landed; what a process had on its way lands although
the process is gone.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

from faust.types import TP

COMPACTION_LAG_S: Final = 40.0
"""Records younger than this are never compacted: `min.compaction.lag.ms` of the changelogs, which
is longer than any worker goes on after it has lost its partitions."""

MAX_DELAY_S: Final = 6.0
"""The client gives a request up later than this, so no message takes longer and still arrives."""

Pairs = Sequence[tuple[bytes | None, bytes | None]]


class Stored(NamedTuple):
    """A record in a log."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    at_s: float
    sender: object


@dataclass(slots=True, eq=False)
class Request:
    """Records that one sender appends together."""

    wire: tuple[object, TP]
    pairs: Pairs
    answer: Callable[[Callable[[], None]], None]
    future: asyncio.Future[Any]
    fails: bool
    """Whether the sender is told that it failed."""
    copies: int
    """How often it lands: not at all, once, or twice."""


@dataclass(slots=True)
class Log:
    """The records of one partition that are still there, by offset."""

    records: list[Stored] = field(default_factory=list)
    first: int = 0
    end: int = 0
    """The high watermark: consumers see no further."""
    tail: list[Request] = field(default_factory=list)
    """What the leader has, and not the replicas: not acknowledged, and lost with the leader."""
    replicated_at: float = 0.0
    """When the replicas will have all of the tail."""

    def from_offset(self, offset: int, limit: int) -> list[Stored]:
        """Return the next records from an offset on; compaction may have taken some."""
        at = bisect_left(self.records, offset, key=lambda record: record.offset)
        return self.records[at : at + limit]


class AppendFailed(Exception):
    """An append was not acknowledged; whether it has landed is unknown to its sender."""


class SimulatedKafka:
    """Topics and the wire to them."""

    def __init__(self, random: Random, note: Callable[..., None], brokers: int) -> None:
        self.random = random
        self.note = note
        self.brokers = brokers
        self.logs: defaultdict[TP, Log] = defaultdict(Log)
        self.committed: dict[TP, int] = {}
        self.on_landed: Callable[[Stored], None] = lambda record: None
        self.slowness = 1.0
        self.slow_topic = ""
        """A topic all of whose appends take much longer; empty if there is none."""
        self.failing = 0.0
        """Share of appends that fail."""
        self.repeating = 0.0
        """Share of appends that land twice, as a retry after a lost acknowledgement does."""
        self.slow_answers = 1.0
        """How much longer acknowledgements take than anything else."""
        self._wires: defaultdict[tuple[object, TP], deque[Request]] = defaultdict(deque)
        self._lands_at: dict[tuple[object, TP], float] = {}
        self._answered_at: dict[tuple[object, TP], float] = {}
        self._held: set[object] = set()
        """Senders that are paused, and whose buffered requests wait with them."""

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def delay_s(self, slowness: float = 1.0) -> float:
        """Return how long a message takes: milliseconds, and now and then much longer."""
        usual = self.random.uniform(0.001, 0.008)
        rare = 200.0 if self.random.random() < 0.01 else 1.0
        return min(usual * self.slowness * slowness * rare, MAX_DELAY_S)

    def append(self, tp: TP, pairs: Pairs, sender: object = None) -> int:
        """Append records at once, in all replicas; return the offset of the first."""
        log = self.logs[tp]
        first = log.end
        for key, value in pairs:
            record = Stored(tp.topic, tp.partition, log.end, key, value, self.now_s, sender)
            log.records.append(record)
            log.end += 1
            self.on_landed(record)
        return first

    # The way of a request

    def send(
        self,
        sender: object,
        tp: TP,
        pairs: Pairs,
        answer: Callable[[Callable[[], None]], None],
    ) -> asyncio.Future[Any]:
        """Put records on the wire; those of one sender and partition land in their order.

        `answer` hands a callback to the sender's process, which may be paused, or gone.
        """
        fails = self.random.random() < self.failing
        is_lost = fails and self.random.random() < 0.5
        copies = 0 if is_lost else 1 + (self.random.random() < self.repeating)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        request = Request((sender, tp), list(pairs), answer, future, fails, copies)
        self._wires[request.wire].append(request)
        self._schedule(request.wire)
        return future

    def _schedule(self, wire: tuple[object, TP]) -> None:
        """Have the next request of a wire land, after those before it."""
        slowness = 100.0 if wire[1].topic == self.slow_topic else 1.0
        lands_at = max(self._lands_at.get(wire, 0.0), self.now_s + self.delay_s(slowness))
        self._lands_at[wire] = lands_at
        asyncio.get_running_loop().call_at(lands_at, self._land, wire)

    def hold(self, sender: object) -> None:
        """Let what a process has buffered and not sent wait until it goes on."""
        self._held.add(sender)

    def release(self, sender: object) -> None:
        """Send what waited."""
        if sender in self._held:
            self._held.discard(sender)
            for wire, requests in self._wires.items():
                if wire[0] is sender:
                    for _ in requests:
                        self._schedule(wire)

    def forget(self, sender: object) -> None:
        """Lose what a process had buffered and not sent."""
        for wire, requests in self._wires.items():
            if wire[0] is sender:
                requests.clear()

    def _land(self, wire: tuple[object, TP]) -> None:
        """Let the leader have the next request of a wire."""
        requests = self._wires[wire]
        if not requests or wire[0] in self._held:
            return
        request, log = requests.popleft(), self.logs[wire[1]]
        if self.brokers == 1 or not request.copies:
            self._replicated(request)
            return
        log.tail.append(request)
        log.replicated_at = max(log.replicated_at, self.now_s + self.delay_s())
        asyncio.get_running_loop().call_at(log.replicated_at, self._replicate, log)

    def _replicate(self, log: Log) -> None:
        """Let the replicas have the next request of a leader."""
        if log.tail:
            self._replicated(log.tail.pop(0))

    def _replicated(self, request: Request) -> None:
        offset, (sender, tp) = -1, request.wire
        for _ in range(request.copies):
            offset = self.append(tp, request.pairs, sender)
        self._answer(request, offset)

    def _answer(self, request: Request, offset: int) -> None:
        tp = request.wire[1]

        def acknowledge() -> None:
            if request.future.done():
                return
            if request.fails:
                self.note("kafka", "fails", tp, "lost" if offset < 0 else f"landed at {offset}")
                request.future.set_exception(AppendFailed(f"{tp}"))
            else:
                request.future.set_result(SimpleNamespace(offset=offset))

        # The answers of a connection come in order, whatever delays them.
        before_s = self._answered_at.get(request.wire, 0.0) + 1e-6
        at_s = max(before_s, self.now_s + self.delay_s(self.slow_answers))
        self._answered_at[request.wire] = at_s
        asyncio.get_running_loop().call_at(at_s, request.answer, acknowledge)

    # What happens to the logs

    def lose_leader(self, tp: TP) -> int:
        """Lose what only the leader of a partition has; return how many requests that were.

        None of it was acknowledged. Each sender sends its own again, before what it has sent since,
        or gives up.
        """
        log = self.logs[tp]
        lost, log.tail = log.tail, []
        gives_up = {id(request.wire[0]): self.random.random() < 0.2 for request in lost}
        for request in reversed(lost):
            if gives_up[id(request.wire[0])]:
                request.fails, request.copies = True, 0
            self._wires[request.wire].appendleft(request)
            self._schedule(request.wire)
        return len(lost)

    def compact(self, topic: str) -> None:
        """Keep the last record of each key, except of what is younger than the lag."""
        for tp, log in self.logs.items():
            if tp.topic != topic:
                continue
            last = {record.key: record.offset for record in log.records}
            log.records = [
                record
                for record in log.records
                if record.offset == last[record.key] or self.now_s - record.at_s < COMPACTION_LAG_S
            ]

    def truncate(self, tp: TP, first: int) -> None:
        """Delete the records before an offset, as retention does."""
        log = self.logs[tp]
        log.first = max(log.first, min(first, log.end))
        log.records = [record for record in log.records if record.offset >= log.first]

    def make_anew(self, topic: str) -> None:
        """Delete a topic and make it again, empty; what was on its way to it is gone."""
        for tp in [tp for tp in self.logs if tp.topic == topic]:
            self.logs.pop(tp).tail.clear()
        for wire, requests in self._wires.items():
            if wire[1].topic == topic:
                requests.clear()


class Batch:
    """Records that go together; few fit, so that batches fill."""

    def __init__(self, room: int) -> None:
        self.pairs: list[tuple[bytes | None, bytes | None]] = []
        self._room = room

    def append(
        self, *, timestamp: int | None, key: bytes | None, value: bytes | None
    ) -> object | None:
        """Append a record; return None if there is no room for it. The first has room."""
        if len(self.pairs) >= self._room:
            return None
        self.pairs.append((key, value))
        return self.pairs
