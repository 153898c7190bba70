"""What can be done to a running system, as data: a scenario is a list of these."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests.harness.signals import BLOCK_FOR_A_WHILE, BLOCK_FOR_GOOD
from tests.harness.venue import ask
from tests.system.chaos.run import Run

READY_TIMEOUT_S = 45.0
EXIT_TIMEOUT_S = 30.0
BLOCKED_LIMIT_S = 45.0
STARVED_LIMIT_S = 120.0


class Step(Protocol):
    """One step of a scenario."""

    def do(self, run: Run) -> None:
        """Carry it out."""


@dataclass(frozen=True)
class Start:
    """Start workers, one right after the other; ttr counts from here if all was well before."""

    workers: tuple[int, ...] = (1,)
    empty_disk: bool = False
    settings: dict[str, str] = field(default_factory=dict)

    def do(self, run: Run) -> None:
        if not run.is_recovering:
            run.fault()
        for number in self.workers:
            run.start(number, empty_disk=self.empty_disk, **self.settings)


@dataclass(frozen=True)
class Ready:
    """Wait until workers say that they are ready."""

    workers: tuple[int, ...]

    def do(self, run: Run) -> None:
        for number in self.workers:
            run.worker(number).wait_ready(READY_TIMEOUT_S)


@dataclass(frozen=True)
class Live:
    """Wait until every instrument is live again."""

    limit_s: float = 60.0

    def do(self, run: Run) -> None:
        run.wait_live(self.limit_s)


@dataclass(frozen=True)
class Flow:
    """Let traffic flow for a time that the seed draws: the moment of what follows is random."""

    shortest_s: float = 3.0
    longest_s: float = 8.0

    def do(self, run: Run) -> None:
        run.flow(run.random.uniform(self.shortest_s, self.longest_s))


@dataclass(frozen=True)
class Kill:
    """SIGKILL."""

    worker: int

    def do(self, run: Run) -> None:
        run.fault()
        run.worker(self.worker).kill()


@dataclass(frozen=True)
class Terminate:
    """SIGTERM: exit 0 within ten seconds."""

    worker: int

    def do(self, run: Run) -> None:
        run.fault()
        run.terminate(self.worker)


@dataclass(frozen=True)
class Pause:
    """SIGSTOP, and after a while SIGCONT; meanwhile the others must have become live."""

    worker: int
    seconds: float

    def do(self, run: Run) -> None:
        worker = run.worker(self.worker)
        run.fault()
        worker.is_paused = True
        worker.signal(signal.SIGSTOP)
        ends = time.monotonic() + self.seconds
        run.wait_live(self.seconds)
        time.sleep(max(0.0, ends - time.monotonic()))
        worker.signal(signal.SIGCONT)
        worker.is_paused = False
        run.fault()


@dataclass(frozen=True)
class Use:
    """Let workers that start from here on run another module's application."""

    application: str

    def do(self, run: Run) -> None:
        run.pipeline.application = self.application


@dataclass(frozen=True)
class Block:
    """Block the event loop of a worker (tests/harness/blocked_loop.py): liveness fails at once.

    For good: then the worker must end by itself, and say what blocked it.
    """

    worker: int
    for_good: bool

    def do(self, run: Run) -> None:
        worker = run.worker(self.worker)
        run.fault()
        began = time.monotonic()
        worker.signal(BLOCK_FOR_GOOD if self.for_good else BLOCK_FOR_A_WHILE)
        status, _ = worker.get("/livez")
        assert status == 0, f"{worker.name} answers /livez although its loop is blocked"
        if self.for_good:
            assert worker.wait(BLOCKED_LIMIT_S) == 1, worker.tail()
            assert "a_handler_that_blocks" in worker.log.read_text(), worker.tail()
            run.notes["ended_after_s"] = round(time.monotonic() - began, 1)
        else:
            alive = worker.wait_until(
                "alive again", lambda: worker.get("/livez")[0] == 200, BLOCKED_LIMIT_S
            )
            assert alive


@dataclass(frozen=True)
class Starve:
    """Let a worker have so little more memory, by a limit: it must end by itself, not limp."""

    worker: int
    more_mb: int

    def do(self, run: Run) -> None:
        worker = run.worker(self.worker)
        pages = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + self.more_mb * 2**20
        run.fault()
        began = time.monotonic()
        resource.prlimit(worker.pid, resource.RLIMIT_AS, (limit, limit))
        code = worker.wait(STARVED_LIMIT_S)
        assert code != 0, worker.tail()
        run.notes["exit_code"] = code
        run.notes["ended_after_s"] = round(time.monotonic() - began, 1)


@dataclass(frozen=True)
class Venue:
    """A control method of the exchange; `{book}` is the incremental book of the first name."""

    method: str
    params: dict[str, Any] = field(default_factory=dict)

    def do(self, run: Run) -> None:
        run.fault()
        channel = f"book.{run.names[0]}.100ms"
        params = {
            name: value.replace("{book}", channel) if isinstance(value, str) else value
            for name, value in self.params.items()
        }
        ask(run.pipeline.venue_url, self.method, **params)


@dataclass(frozen=True)
class ReplayOld:
    """The venue sends old notifications of its first book again, and some in the wrong order."""

    def do(self, run: Run) -> None:
        channel = f"book.{run.names[0]}.100ms"
        old = []
        for line in run.truth.read_bytes().splitlines()[-400:]:
            message = line.partition(b" ")[2]
            if channel.encode() in message:
                old.append(message.decode())
        run.fault()
        for message in (*old[-3:-1], *reversed(old[-6:-3])):
            ask(run.pipeline.venue_url, "simulator/inject", channel=channel, text=message)


@dataclass(frozen=True)
class RestartVenue:
    """The exchange is gone for a moment; another begins, with other books and lower ids."""

    instruments: int
    rate: float

    def do(self, run: Run) -> None:
        exchange = run.pipeline.exchange
        assert exchange is not None
        exchange.kill()
        run.fault()
        run.open_venue(self.instruments, self.rate, seed=run.seed + 1)


@dataclass(frozen=True)
class DamageStore:
    """Damage one RocksDB of a worker that has stopped."""

    worker: int
    how: str
    """`flip`, `truncate`, `no-manifest`, `no-current`, or `delete`."""

    def do(self, run: Run) -> None:
        databases = sorted(run.disk(self.worker).glob("v*/tables/books-*.db"))
        assert databases, f"no database below {run.disk(self.worker)}"
        for database in databases:
            damage(database, self.how)


def damage(database: Path, how: str) -> None:
    """Damage a RocksDB directory."""
    if how == "delete":
        shutil.rmtree(database)
        return
    if how in {"no-manifest", "no-current"}:
        pattern = "MANIFEST-*" if how == "no-manifest" else "CURRENT"
        for path in database.glob(pattern):
            path.unlink()
        return
    # The largest file with data: an SST if there is one, else the write-ahead log.
    files = sorted(database.glob("*.sst")) or sorted(database.glob("*.log"))
    path = max(files, key=lambda each: each.stat().st_size)
    content = bytearray(path.read_bytes())
    assert content, f"{path} is empty: nothing to damage"
    if how == "flip":
        content[len(content) // 2] ^= 0x10
    else:
        del content[len(content) // 2 :]
    path.write_bytes(content)


def is_mountable() -> bool:
    """Say whether a small tmpfs can be mounted here."""
    return (
        os.geteuid() == 0
        and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode
        == 0
    )
