"""Steps that take Kafka away, for a while or in part."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass

from tests.system.chaos.run import Run

SAID_AFTER_S = 15.0
"""Of an outage, all workers say so."""
MOST_LINES = 150
MOST_LINES_PER_MINUTE = 40
"""Of a worker's log: what begins and ends an outage, and what is said again in it."""


@dataclass(frozen=True)
class BrokerAway:
    """SIGSTOP or SIGKILL the broker for a while; ttr counts from when it is back.

    Meanwhile no worker ends, all say that they are stale and why, what they hold is bounded, and
    their logs stay short. Workers may be started while it is away: they wait for it.
    """

    seconds: float
    is_killed: bool = False
    starts: tuple[int, ...] = ()

    def do(self, run: Run) -> None:
        broker = run.broker
        assert broker is not None, "the scenario needs a broker of its own"
        assert broker.process is not None
        before, lines = run.memory_mb(), run.log_lines()
        process = broker.process
        if self.is_killed:
            broker.kill()
        else:
            process.send_signal(signal.SIGSTOP)
        try:
            for number in self.starts:
                run.start(number)
            _watch(run, self.seconds, before)
        finally:
            if not self.is_killed:
                process.send_signal(signal.SIGCONT)
        if self.is_killed:
            asyncio.run(broker.start())
        run.fault()
        said = {number: count - lines.get(number, 0) for number, count in run.log_lines().items()}
        run.notes["log_lines"] = said
        most = MOST_LINES + MOST_LINES_PER_MINUTE * self.seconds / 60
        assert max(said.values()) <= most, f"lines in {self.seconds} s: {said}"


@dataclass(frozen=True)
class LoseBroker:
    """SIGKILL one broker of three, which one the seed draws; it never comes back."""

    def do(self, run: Run) -> None:
        assert run.cluster is not None, "the scenario needs three brokers"
        number = run.random.randrange(len(run.cluster.ports))
        run.notes["lost_broker"] = number + 1
        run.fault()
        run.cluster.lose(number)


@dataclass(frozen=True)
class MajorityAway:
    """SIGKILL two brokers of three for a while, as BrokerAway does the only one."""

    seconds: float

    def do(self, run: Run) -> None:
        assert run.cluster is not None, "the scenario needs three brokers"
        gone = run.random.sample(range(len(run.cluster.ports)), 2)
        before = run.memory_mb()
        for number in gone:
            run.cluster.lose(number)
        try:
            _watch(run, self.seconds, before)
        finally:
            for number in gone:
                run.cluster.restart(number)
        run.fault()


def _watch(run: Run, seconds: float, before: dict[int, int]) -> None:
    """See that no worker ends, and that each says that it is stale, and why."""
    ends, most = time.monotonic() + seconds, before
    while time.monotonic() < ends:
        run.flow(min(1.0, max(0.0, ends - time.monotonic())))
        held = run.memory_mb()
        most = {number: max(held[number], most[number]) for number in before}
    run.judge_memory(before, most)
    if seconds < SAID_AFTER_S:
        return
    late = run.watcher.behind(0)
    assert late, f"everything is said to be live {seconds} s after Kafka went"
    for number in before:
        status, said = run.worker(number).get("/readyz")
        assert status == 503, f"worker {number} says that it is ready: {said}"
        assert "Kafka" in str(said), f"worker {number} does not say why: {said}"
