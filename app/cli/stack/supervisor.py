"""`Supervisor` and `Child`: processes as services of mode, in order, so that a worker can commit.

Each part starts when the one before is ready, and they stop the other way round. A part that fails
crashes the supervisor, whose run() stops the others and raises why.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from mode import Service

from app.embedded_kafka.processes import die_with_parent, tail
from app.errors import UserError

CHILD_STOP_TIMEOUT_S: Final = 7.0
CHILD_KILL_TIMEOUT_S: Final = 2.0
CHILD_READY_TIMEOUT_S: Final = 20.0
POLL_INTERVAL_S: Final = 0.05
LAST_LINES: Final = 12
LAST_ERRORS: Final = 3
LINES_READ: Final = 400
"""Of what a child said, to find the errors among them."""
LONGEST_LINE_BYTES: Final = 1024**2
"""A longer line is split."""
LOG_FILE_BYTES: Final = 8 * 1024**2
LEAST_RUN_S: Final = 10.0
"""A child that ends sooner is not started again: it would end again, and again."""
_TELLS_AN_ERROR: Final = re.compile(
    # as app/monitoring/logs.py writes them
    r"(?i:\[(error|critical) *\]|\"level\": ?\"(error|critical)\")"
    r"|^[\w.]*(Error|Exception): |^error: "
)
_NAME_WIDTH: Final = len("exchange")
_ANSI_COLOURS: Final = (36, 33, 32, 35)

logging.getLogger(__name__).addHandler(logging.NullHandler())
logging.getLogger(__name__).propagate = False  # mode logs a crash with its stack; run() raises it


class ChildFailed(UserError):
    """A part of the stack ended by itself."""

    exit_code = 1


class Supervisor(Service):  # type: ignore[misc]
    """Holds the parts of a stack, which a subclass adds in on_started() by add()."""

    logger = logging.getLogger(__name__)

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[Service] = []

    async def add(self, part: Service) -> None:
        """Start a part and wait until it is ready, unless something has failed meanwhile."""
        if not self.should_stop:
            self._parts.append(part)
            await self.add_runtime_dependency(part)

    async def run(self) -> None:
        """Run until SIGINT or SIGTERM, or raise why a part failed; nothing runs any more then.

        A second signal kills the children that still run.
        """
        task = asyncio.current_task()
        assert task is not None
        signals = 0

        def on_signal() -> None:
            nonlocal signals
            signals += 1
            if signals == 1 and not self.should_stop:
                task.cancel()
            elif signals > 1:
                for part in self._parts:
                    if isinstance(part, Child):
                        part.kill()

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, on_signal)
        try:
            await self.start()
            await self.wait_until_stopped()
        except asyncio.CancelledError:
            return  # a signal asked for it
        finally:
            await self.stop()
        raise self.crash_reason


class Child(Service):  # type: ignore[misc]
    """Runs a process that dies with this one, and starts it again where it may be.

    That is `restarted`, unless it refused to run or ran for less than LEAST_RUN_S; mode's own
    supervisors restart whatever the exit code, so they are of no use here.
    """

    def __init__(
        self,
        name: str,
        command: str,
        environment: Mapping[str, str],
        folder: Path,
        output: Output,
        on_pid: Callable[[str, int], None],
        *,
        is_ready: Callable[[], bool] = lambda: True,
        restarted: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        self._command, self._environment, self._folder = command, environment, folder
        self._output = output
        self._is_ready, self._on_pid = is_ready, on_pid
        self._restarted = restarted
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Future[None] | None = None

    async def on_start(self) -> None:
        self._process = await self._spawn()
        self._keeping = self.add_future(self._keep(self._process))
        deadline = time.monotonic() + CHILD_READY_TIMEOUT_S
        while not self._is_ready() and not self.should_stop:
            if time.monotonic() > deadline:
                raise ChildFailed(f"{self.name} was not ready within {CHILD_READY_TIMEOUT_S:.0f} s")
            await self.sleep(POLL_INTERVAL_S)

    async def on_stop(self) -> None:
        """Ask the process to end; kill it if it does not."""
        if self._keeping is None:
            return
        self._signal(signal.SIGTERM)
        _, runs = await asyncio.wait({self._keeping}, timeout=CHILD_STOP_TIMEOUT_S)
        if runs:
            self.kill()
            await asyncio.wait({self._keeping}, timeout=CHILD_KILL_TIMEOUT_S)

    def kill(self) -> None:
        """Kill the process, if it runs."""
        if self._keeping is not None and not self._keeping.done():
            self._output.note(f"{self.name} does not end: killed")
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.killpg(self._process.pid, number)

    async def _spawn(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_shell(
            self._command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
            cwd=self._folder,
            start_new_session=True,  # Ctrl-C is for the supervisor, which stops it in order
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        self._output.note(f"{self.name} started (pid {process.pid})")
        self._on_pid(self.name, process.pid)
        return process

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        """Pass on what the process says until it has ended; then start it again, or fail."""
        while True:
            started = time.monotonic()
            assert process.stdout is not None
            await self._output.relay(self.name, process.stdout)
            code = await process.wait()
            self._output.note(f"{self.name} ended (exit code {code})")
            if self.should_stop:
                return
            obituary = self._output.obituary(self.name, code)
            must_be_mended = code == UserError.exit_code  # by a person: it would end again
            ran_s = time.monotonic() - started
            if not self._restarted or must_be_mended or ran_s < LEAST_RUN_S:
                raise ChildFailed(obituary)
            self._output.note(f"{obituary}\n{self.name} is started again")
            process = self._process = await self._spawn()


class Output:
    """Prints lines with time, name and colour, and keeps those of each name in a log file."""

    def __init__(self, log_dir: Path) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self._log_dir = log_dir
        self._files: dict[str, logging.Handler] = {}
        self._starts: dict[str, int] = {}

    async def relay(self, name: str, stream: asyncio.StreamReader) -> None:
        """Pass on the lines of a new process until it closes its output."""
        self._starts[name] = self._path(name).stat().st_size if self._path(name).exists() else 0
        rest = b""
        while chunk := await stream.read(LONGEST_LINE_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._write(name, line.decode("utf-8", "replace"))
        self._write(name, rest.decode("utf-8", "replace"))

    def note(self, text: str) -> None:
        """Print what the supervisor has to say."""
        self._write("system", text)

    def obituary(self, name: str, code: int) -> str:
        """Return how a process has ended, with its last lines and the last errors before them."""
        path = self._path(name)
        lines = tail(path, LINES_READ, after_bytes=self._starts[name]) or ["(it said nothing)"]
        # A worker says dozens of lines while it stops, long after the one that tells why.
        errors = [line for line in lines[:-LAST_LINES] if _TELLS_AN_ERROR.search(line)]
        said = [*errors[-LAST_ERRORS:], *(["…"] if errors else []), *lines[-LAST_LINES:]]
        return "\n  ".join(
            [f"{name} ended with exit code {code}; all it said is in {path}.", *said]
        )

    def _write(self, name: str, text: str) -> None:
        if name not in self._files:
            self._files[name] = RotatingFileHandler(
                self._path(name), maxBytes=LOG_FILE_BYTES, backupCount=1
            )
        prefix = f"{datetime.now():%H:%M:%S} {name:<{_NAME_WIDTH}} | "
        if sys.stdout.isatty() and name != "system":
            colour = _ANSI_COLOURS[list(self._files).index(name) % len(_ANSI_COLOURS)]
            prefix = f"\033[0m\033[{colour}m{prefix}\033[0m"
        for line in text.splitlines():
            self._files[name].emit(logging.LogRecord(name, logging.INFO, "", 0, line, (), None))
            print(prefix + line, flush=True)

    def _path(self, name: str) -> Path:
        return self._log_dir / f"{name}.log"
