"""One run of a scenario: real processes, a seed, and what is measured on the way."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.embedded_kafka import EmbeddedBroker
from app.processing.processor import Rules
from app.settings import Settings
from app.verify.records import committed, end_offsets
from tests.checker.checker import check, read_written
from tests.checker.report import Report
from tests.harness.cluster import Cluster
from tests.harness.pipeline import Pipeline, Worker
from tests.harness.venue import perpetuals
from tests.harness.watcher import Watcher

FINISHER = 90
"""Number of the worker that processes what is left at the end, without a socket or a disk."""
FINISH_TIMEOUT_S = 60.0
LAST_S = 1.0
"""What the exchange had said by then has arrived after this."""
SETTLED_S = 2.5
"""A worker that computes a partition anew commits backwards first, within a checkpoint of 1 s."""
LIVE_TIMEOUT_S = 60.0
STOP_LIMIT_S = 10.0
"""SIGTERM to exit 0."""
GROWTH_LIMIT_MB = 64
"""Of a worker's memory while Kafka or itself is slow: what may wait of a connection, 32 MiB, once
as messages and once as the frames that are made of them."""


@dataclass
class Run:
    """What the steps of a scenario work with."""

    pipeline: Pipeline
    seed: int
    rate: float = 0.0
    """Notifications/s, or frames/s where the test writes the feed."""
    broker: EmbeddedBroker | None = None
    """The broker, where the scenario has one of its own."""
    cluster: Cluster | None = None
    """The brokers, where it has three."""
    names: list[str] = field(default_factory=list)
    fault_ms: int = 0
    is_recovering: bool = False
    """Whether there was a fault since all was live."""
    truth_bytes: int | None = None
    """How long the exchange's log was when the run began to end: that costs notifications, too."""
    ttr_s: list[float] = field(default_factory=list)
    stop_s: list[float] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.watcher = Watcher(lambda: [], [], self.seed)

    @property
    def folder(self) -> Path:
        return self.pipeline.folder

    @property
    def truth(self) -> Path:
        return self.folder / "truth.log"

    def open_venue(self, instruments: int, rate: float, *, seed: int | None = None) -> None:
        """Start the exchange; a second time, its ids begin anew and its log is another."""
        self.truth.unlink(missing_ok=True)
        self.pipeline.start_exchange(
            *("--instruments", str(instruments), "--rate", str(rate), "--control"),
            *("--seed", str(self.seed if seed is None else seed), "--truth", str(self.truth)),
            *("--port", str(self.pipeline.venue_port)),
        )
        self.names = perpetuals(self.pipeline.venue_url)

    def watch(self) -> None:
        """Begin to ask the workers for answers."""
        self.watcher = Watcher(self.urls, self.names, self.seed)
        self.watcher.start()

    def urls(self) -> list[str]:
        """Addresses of the workers that run."""
        workers = list(self.pipeline.workers.values())
        return [worker.url for worker in workers if worker.running and not worker.is_paused]

    def worker(self, number: int) -> Worker:
        return self.pipeline.workers[number]

    def start(self, number: int, *, empty_disk: bool = False, **settings: str) -> Worker:
        """Start a worker, on the disk that its last life left behind or on an empty one."""
        if empty_disk:
            shutil.rmtree(self.disk(number), ignore_errors=True)
        return self.pipeline.start_worker(number, **settings)

    def disk(self, number: int) -> Path:
        """Folder of a worker's tables."""
        return self.folder / "workers" / self.pipeline.installation.app_id / f"worker-{number}"

    def memory_mb(self) -> dict[int, int]:
        """Return what each worker that runs holds, in MB."""
        workers = list(self.pipeline.workers.items())
        return {number: worker.resident_mb() for number, worker in workers if worker.running}

    def log_lines(self) -> dict[int, int]:
        """Return how many lines each worker that runs has written to its log."""
        workers = list(self.pipeline.workers.items())
        return {number: worker.log.read_bytes().count(b"\n") for number, worker in workers}

    def judge_memory(self, before: dict[int, int], most: dict[int, int]) -> None:
        """Note what workers held before a fault and at the most in it; that is bounded."""
        held = {number: [before[number], most[number]] for number in before if number in most}
        self.notes["memory_mb"] = held
        for number, (first, last) in held.items():
            grew = last - first
            assert grew <= GROWTH_LIMIT_MB, f"worker {number} grew by {grew} MB: {held}"

    def fault(self) -> None:
        """Note that the fault begins now."""
        self.fault_ms = time.time_ns() // 1_000_000
        self.is_recovering = True

    def wait_live(self, limit_s: float = LIVE_TIMEOUT_S) -> None:
        """Wait until every instrument is live again, and note how long it took."""
        self.ttr_s.append(round(self.watcher.wait_live(self.fault_ms, limit_s), 2))
        self.is_recovering = False

    def flow(self, seconds: float) -> None:
        """Let traffic flow; nobody may end meanwhile."""
        running = [worker for worker in self.pipeline.workers.values() if worker.running]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for worker in running:
                assert worker.running, f"{worker.name} ended by itself\n{worker.tail()}"
            time.sleep(min(0.2, max(0.0, deadline - time.monotonic())))

    def terminate(self, number: int) -> None:
        """SIGTERM; the worker must end with 0 in time."""
        started = time.monotonic()
        worker = self.worker(number)
        code = worker.stop(STOP_LIMIT_S + 5)
        took = time.monotonic() - started
        self.stop_s.append(round(took, 2))
        assert code == 0, f"{worker.name} ended with {code}\n{worker.tail()}"
        assert took <= STOP_LIMIT_S, f"{worker.name} took {took:.1f} s to end\n{worker.tail()}"

    def finish(self) -> None:
        """Stop everything; then one worker on an empty disk processes what is left."""
        if self.truth.exists():
            self.truth_bytes = self.truth.stat().st_size
            self.flow(LAST_S)
        for number, worker in list(self.pipeline.workers.items()):
            if worker.running:
                self.terminate(number)
        self.watcher.stop()
        self.start(FINISHER, empty_disk=True, ingest="false", checkpoint_max_age_ms="0")
        asyncio.run(self._caught_up())
        self.terminate(FINISHER)
        if self.pipeline.exchange is not None:
            self.pipeline.exchange.stop()

    async def _caught_up(self) -> None:
        installation = self.pipeline.installation
        feed = self.pipeline.topic("feed")
        ends = await end_offsets(installation.kafka, feed)
        deadline = time.monotonic() + FINISH_TIMEOUT_S
        positions: dict[int, int] = {}
        settled_at: float | None = None
        while time.monotonic() < deadline:
            positions = await committed(installation.kafka, installation.app_id, feed)
            worker = self.worker(FINISHER)
            _, ready = await asyncio.to_thread(worker.get, "/readyz")
            details = (ready or {}).get("details") or (ready or {}).get("data", {}).get("details")
            in_charge = details is not None and len(details["partitions"]) == len(ends)
            behind = any(positions.get(number, 0) < end for number, end in ends.items())
            if not in_charge or behind:
                settled_at = None
            elif settled_at is None:
                settled_at = time.monotonic()
            elif time.monotonic() - settled_at > SETTLED_S:
                return
            assert worker.running, f"{worker.name} ended by itself\n{worker.tail()}"
            await asyncio.sleep(0.3)
        self.notes["not_caught_up"] = {"committed": positions, "ends": ends}

    def check(self, *, with_truth: bool = True) -> Report:
        """Return the checker's report of what the run wrote."""
        installation: Settings = self.pipeline.installation
        written = asyncio.run(read_written(installation))
        rules = Rules(
            installation.windows, installation.trade_grace_ms, installation.stale_after_ms
        )
        report = check(
            written,
            rules,
            truth=self.truth if with_truth and self.truth.exists() else None,
            truth_bytes=self.truth_bytes,
            samples=self.watcher.samples,
            seed=self.seed,
        )
        report.ttr_s = max(self.ttr_s, default=None)
        for fault in self.watcher.faults:
            report.wrong_served += 1
            report.name("wrong_served", fault)
        return report
