"""The stack that runs in a data directory: who holds it, where its parts listen, its workers.

    <data_dir>/run/stack.json      what runs: Kafka, venue, web ports, pids, environment
    <data_dir>/run/stack.lock      locked while a demo or live stack runs
    <data_dir>/run/worker-N.lock   locked while worker N runs; its pid inside

The locks are the kernel's: they end with their process, however it ends, so nothing here can be
stale and no pid is ever signalled that is not the process it was.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from app.cli.local_worker import local_url
from app.errors import UserError

MAX_WORKERS: Final = 64
LOCK_ATTEMPTS: Final = 20
LOCK_INTERVAL_S: Final = 0.05
POLL_INTERVAL_S: Final = 0.05


class StackError(UserError):
    """A stack runs where none may, or none where one must."""


@dataclass(slots=True)
class Stack:
    """What runs, as written to stack.json."""

    kind: str
    pid: int
    started_ms: int
    kafka: str
    venue_url: str
    web_port: int
    environment: dict[str, str] = field(default_factory=dict)
    """What a further process needs in its environment to belong to this stack."""
    pids: dict[str, int] = field(default_factory=dict)
    web_host: str = "127.0.0.1"
    wants_token: bool = False
    """Whether who asks must know STEELYARD_WEB_TOKEN, which is not written down here."""

    @property
    def url(self) -> str:
        return f"{local_url(self.web_host, self.web_port)}/"

    def write(self, data_dir: Path) -> None:
        """Write stack.json whole, or leave it as it was."""
        path = run_dir(data_dir) / "stack.json"
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(asdict(self), indent=2) + "\n")
        unfinished.replace(path)


def run_dir(data_dir: Path) -> Path:
    """Return the folder of the running stack's files, made if it is missing."""
    folder = data_dir / "run"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def running_stack(data_dir: Path) -> Stack | None:
    """Return the stack that runs in a data directory now, if one does."""
    folder = data_dir / "run"
    if not _is_held(folder / "stack.lock"):
        return None
    try:
        return Stack(**json.loads((folder / "stack.json").read_text()))
    except FileNotFoundError:
        return None  # it is starting: it has the lock and has not written what it is


@contextmanager
def hold_stack(data_dir: Path) -> Iterator[None]:
    """Be the one stack of this data directory; raise StackError if there is another."""
    folder = run_dir(data_dir)
    descriptor = _try_lock(folder / "stack.lock", attempts=LOCK_ATTEMPTS)
    if descriptor is None:
        stack = running_stack(data_dir)
        what = f"A {stack.kind} (pid {stack.pid}, {stack.url})" if stack else "Another stack"
        raise StackError(
            f"{what} already runs in {data_dir.resolve()}.\n"
            "Stop it first (Ctrl-C in its terminal), add a worker to it with `make worker`, or set "
            "STEELYARD_DATA_DIR to run a second one beside it."
        )
    try:
        (folder / "stack.json").unlink(missing_ok=True)
        yield
    finally:
        (folder / "stack.json").unlink(missing_ok=True)
        os.close(descriptor)


def claim_worker(data_dir: Path) -> str:
    """Return a worker name that no running worker has, held until this process ends.

    The descriptor stays open on purpose, through exec too: the kernel releases it.
    """
    for number in range(2, MAX_WORKERS + 1):
        name = f"worker-{number}"
        descriptor = _try_lock(run_dir(data_dir) / f"{name}.lock")
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            os.set_inheritable(descriptor, True)
            return name
    raise StackError(f"{MAX_WORKERS} workers already run in {data_dir.resolve()}: no more can.")


def added_workers(data_dir: Path) -> dict[str, int]:
    """Return the pids of the workers that were added to the stack and still run, by name."""
    workers = {}
    for path in sorted((data_dir / "run").glob("worker-*.lock")):
        if _is_held(path) and (text := path.read_text().strip()):
            workers[path.stem] = int(text)
    return workers


def signal_workers(data_dir: Path, number: int) -> None:
    """Send a signal to all added workers."""
    for pid in added_workers(data_dir).values():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # it ended by itself meanwhile


def stop_added_workers(data_dir: Path, timeout_s: float) -> None:
    """Return when no added worker runs any more; kill those that do after `timeout_s`."""
    signal_workers(data_dir, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while added_workers(data_dir):
        if time.monotonic() >= deadline:
            signal_workers(data_dir, signal.SIGKILL)
            return
        time.sleep(POLL_INTERVAL_S)


def _try_lock(path: Path, attempts: int = 1) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    for attempt in range(attempts):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if attempt + 1 < attempts:  # a look by _is_held() is over in a moment
                time.sleep(LOCK_INTERVAL_S)
    os.close(descriptor)
    return None


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
