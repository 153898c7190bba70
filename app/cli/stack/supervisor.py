"""`Supervisor`: honcho's processes and output, with an order, so that a worker can commit in peace.

Children start in the order in which they were added, each when the one before is ready, and stop
the other way round. Every child dies with this process, however it dies.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import re
import signal
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import Any, Final

from honcho.manager import Manager
from honcho.printer import Message, Printer
from honcho.process import Popen, Process

from app.embedded_kafka.processes import die_with_parent
from app.errors import UserError

CHILD_STOP_TIMEOUT_S: Final = 7.0
CHILD_READY_TIMEOUT_S: Final = 20.0
EVENT_WAIT_S: Final = 0.1
LAST_LINES: Final = 12
LAST_ERRORS: Final = 3
LOG_FILE_BYTES: Final = 8 * 1024**2
LEAST_RUN_S: Final = 10.0
"""A child that ends sooner is not started again: it would end again, and again."""
_TELLS_AN_ERROR: Final = re.compile(
    # as app/monitoring/logs.py writes them
    r"(?i:\[(error|critical) *\]|\"level\": ?\"(error|critical)\")"
    r"|^[\w.]*(Error|Exception): |^error: "
)


class Supervisor(Manager):  # type: ignore[misc]
    """Runs a few children until a signal, the death of one, or `watch` ends it.

    A child that may be started again is, unless it refused to run or ran for less than LEAST_RUN_S.
    `watch` is called about ten times a second and returns why all must stop, or None; `on_stop`
    is called once, before the first child is asked to end.
    """

    def __init__(
        self, log_dir: Path, watch: Callable[[], str | None], on_stop: Callable[[], None]
    ) -> None:
        self._lines = _KeepingPrinter(log_dir)
        super().__init__(self._lines)
        self._process_ctor = _Child
        self._ready: dict[str, Callable[[], bool]] = {}
        self._restarted: set[str] = set()
        self._watch = watch
        self._on_stop = on_stop
        self._signals = 0
        self._stop_by: dict[str, float] = {}
        self._started_at: dict[str, float] = {}
        self.failure: str | None = None
        """Why the children were stopped, unless a signal asked for it."""

    def add(
        self,
        name: str,
        command: str,
        env: dict[str, str],
        cwd: Path,
        ready: Callable[[], bool],
        *,
        restarted: bool = False,
    ) -> None:
        """Add a child; the next one starts when `ready` says so. `restarted`: if it dies."""
        self.add_process(name, command, env=env, cwd=str(cwd))
        self._ready[name] = ready
        if restarted:
            self._restarted.add(name)

    def pids(self) -> dict[str, int]:
        """Return the pids of the children that run."""
        return {n: p["pid"] for n, p in self._processes.items() if "pid" in p and self._runs(n)}

    def loop(self) -> None:
        """Run the children; return when the last of them has ended."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        while not self._stopping() and not self._all_ready():
            self._start_next()
            self._relay()
        while any(self._runs(name) for name in self._started_at):
            self._relay()
            if self._stopping():
                if not self._stop_by:
                    self._on_stop()
                self._stop_next()
        self._relay()

    def _start_next(self) -> None:
        for name in self._processes:
            if name not in self._started_at:
                self._start(name)
                return
            if not self._ready[name]():
                if time.monotonic() > self._started_at[name] + CHILD_READY_TIMEOUT_S:
                    self.failure = f"{name} was not ready within {CHILD_READY_TIMEOUT_S:.0f} s."
                return

    def _start(self, name: str) -> None:
        child: Process = self._processes[name]["obj"]
        process = multiprocessing.Process(name=name, target=child.run, args=(self.events, True))
        process.start()
        self._processes[name]["process"] = process
        self._started_at[name] = time.monotonic()

    def _relay(self) -> None:
        """Pass on what the children say, for a moment; note who started and who ended."""
        deadline = time.monotonic() + EVENT_WAIT_S
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = self.events.get(timeout=left)
            except queue.Empty:
                self._note_vanished()
                break
            if message.type == "line":
                self._lines.write(message)
            elif message.type == "start":
                self._processes[message.name]["pid"] = message.data["pid"]
                self._system_print(f"{message.name} started (pid {message.data['pid']})\n")
            elif message.type == "stop":
                code = message.data["returncode"]
                self._system_print(f"{message.name} ended (exit code {code})\n")
                self._note_end(message.name, code)
        if not self._stopping():
            self.failure = self._watch()

    def _note_vanished(self) -> None:
        """Count a child as ended whose honcho process was killed and can report nothing more."""
        for name in self._started_at:
            process = self._processes[name]
            if self._runs(name) and not process["process"].is_alive() and self.events.empty():
                self._note_end(name, -signal.SIGKILL)

    def _note_end(self, name: str, code: int) -> None:
        """A child has ended: start it again, or let that be the end of all."""
        process = self._processes[name]
        process["returncode"] = code
        if self._stopping():
            return
        ran_s = time.monotonic() - self._started_at[name]
        # What a person has to mend would end it again.
        must_be_mended = code == UserError.exit_code
        if name not in self._restarted or must_be_mended or ran_s < LEAST_RUN_S:
            self.failure = self._obituary(name, code)
            return
        self._system_print(f"{self._obituary(name, code)}\n")
        self._system_print(f"{name} is started again\n")
        self._lines.forget(name)
        del process["returncode"], process["pid"]
        self._start(name)

    def _stop_next(self) -> None:
        """Ask the child that was started last and still runs to end; kill it if it does not."""
        for name in reversed(self._started_at):
            if not self._runs(name):
                continue
            pid = self._processes[name].get("pid")
            if pid is None:
                return  # forked a moment ago: its start is still on the way to us
            if name not in self._stop_by:
                self._stop_by[name] = time.monotonic() + CHILD_STOP_TIMEOUT_S
                self._procmgr.terminate(pid)
            elif time.monotonic() > self._stop_by[name] or self._signals > 1:
                self._system_print(f"{name} does not end: killed\n")
                self._procmgr.kill(pid)
            return

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _stopping(self) -> bool:
        return self._signals > 0 or self.failure is not None

    def _all_ready(self) -> bool:
        return all(name in self._started_at and ready() for name, ready in self._ready.items())

    def _runs(self, name: str) -> bool:
        return name in self._started_at and "returncode" not in self._processes[name]

    def _obituary(self, name: str, code: int) -> str:
        last = list(self._lines.last[name]) or ["(it said nothing)"]
        # A worker says dozens of lines while it stops, long after the one that tells why.
        earlier = [line for line in self._lines.errors[name] if line not in last]
        lines = "\n  ".join([*earlier, *(["…"] if earlier else []), *last])
        path = self._lines.path(name)
        return f"{name} ended with exit code {code}; all it said is in {path}.\n  {lines}"


class _Child(Process):  # type: ignore[misc]
    """A child whose program ends when honcho's process for it does, and that one with ours."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._parent = os.getpid()

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        die_with_parent(signal.SIGKILL, self._parent)()
        self._child_ctor = partial(Popen, preexec_fn=die_with_parent(signal.SIGTERM))
        super().run(events, ignore_signals)


class _KeepingPrinter(Printer):  # type: ignore[misc]
    """Prints with honcho's prefixes and colours, and keeps each child's lines in a log file."""

    def __init__(self, log_dir: Path) -> None:
        super().__init__(sys.stdout)
        self._log_dir = log_dir
        self._files: dict[str, logging.Handler] = {}
        self.last: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=LAST_LINES))
        self.errors: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=LAST_ERRORS))

    def write(self, message: Message) -> None:
        data = message.data
        text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
        for line in text.splitlines():
            self.last[message.name].append(line)
            if _TELLS_AN_ERROR.search(line):
                self.errors[message.name].append(line)
        self._file(message.name).emit(
            logging.LogRecord(message.name, logging.INFO, "", 0, text.rstrip("\n"), (), None)
        )
        super().write(message)

    def forget(self, name: str) -> None:
        """Let what a child said be no part of its next obituary; the log file keeps it."""
        self.last.pop(name, None)
        self.errors.pop(name, None)

    def path(self, name: str) -> Path:
        """Return the log file of a child."""
        return self._log_dir / f"{name}.log"

    def _file(self, name: str) -> logging.Handler:
        if name not in self._files:
            self._files[name] = RotatingFileHandler(
                self.path(name), maxBytes=LOG_FILE_BYTES, backupCount=1
            )
        return self._files[name]
