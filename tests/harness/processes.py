"""Real processes of the system under test: started, signalled, and never left behind.

Start them in the main thread: Linux ends a child with the thread that started it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from app.cli.local_worker import open_direct
from app.embedded_kafka.processes import die_with_parent

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.05
STOP_TIMEOUT_S = 20.0


class ProcessEnded(AssertionError):
    """A process ended that should not have; says how, and its last lines."""


class Child:
    """One process, with its output in a file."""

    def __init__(self, name: str, command: list[str], env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.command = command
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), **env}
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the process; its output is appended to the log."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self.command,
                env=self.env,
                cwd=ROOT,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        return self

    @property
    def pid(self) -> int:
        """Process id; the process must have been started."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def resident_mb(self) -> int:
        """Return how much memory the process holds, in MB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for the end; return the exit code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self.running:
            self.signal(signal.SIGKILL)
            self.wait()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """SIGTERM, and wait; a process that does not end in time is killed and fails the test."""
        if self.running:
            self.signal(signal.SIGTERM)
            try:
                return self.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
                raise ProcessEnded(
                    f"{self.name} did not end within {timeout_s} s of SIGTERM\n{self.tail()}"
                ) from None
        return self.wait()

    def tail(self, lines: int = 40) -> str:
        """Return the last lines of the log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def wait_until(
        self, what: str, condition: Callable[[], Any], timeout_s: float, poll_s: float = POLL_S
    ) -> Any:
        """Return the condition's first true answer; fail if the process ends or time is over."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if answer := condition():
                return answer
            if not self.running:
                raise ProcessEnded(f"{self.name} ended before {what}\n{self.tail()}")
            time.sleep(poll_s)
        raise AssertionError(f"{self.name}: not {what} within {timeout_s} s\n{self.tail()}")


def get_json(url: str, timeout_s: float = 2.0) -> tuple[int, Any]:
    """Return status and body of a GET; (0, None) if nobody answers."""
    try:
        with open_direct(url, timeout_s) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        try:
            return error.code, json.load(error)
        except ValueError:
            return error.code, None
    except (OSError, ValueError):
        return 0, None


def python(*arguments: str) -> list[str]:
    """Return the command line of a Python program of the project."""
    return [sys.executable, "-u", *arguments]
