"""Child processes that cannot outlive their parent, and the free ports they listen on.

Linux sends the child a signal when its parent dies, however it dies; elsewhere only an orderly end
of the parent stops the child.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"
TAIL_READ_BYTES: Final = 64 * 1024
_PR_SET_PDEATHSIG: Final = 1


def die_with_parent(
    signal_number: int = signal.SIGKILL, parent: int | None = None
) -> Callable[[], None]:
    """Return what a child of `parent` (this process) runs first, so that it dies with its parent.

    The library is loaded here, before the fork: loading it after one could deadlock.
    """
    if not sys.platform.startswith("linux"):
        return lambda: None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid() if parent is None else parent

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:  # it died between the fork and the line above
            os.kill(os.getpid(), signal_number)

    return before_exec


def stop_process(process: subprocess.Popen[bytes], timeout_s: float) -> int:
    """Ask a process to end, kill it after `timeout_s`, and return its exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    """Say whether a server could listen on `port`; a socket in TIME_WAIT does not hinder it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def tail(path: Path, lines: int, *, after_bytes: int = 0) -> list[str]:
    """Return the last lines of a file, of what was written after `after_bytes` only."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            # A log that was rolled over meanwhile is shorter than before: then all of it is new.
            start = after_bytes if after_bytes <= size else 0
            file.seek(max(start, size - TAIL_READ_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return list(deque((line for line in text.splitlines() if line.strip()), maxlen=lines))
