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
from typing import Any, Final

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


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that nobody listens on now; raise OSError if nobody can at this host."""
    family, _, _, _, address = _addresses(host, 0)[0]
    with socket.socket(family) as probe:
        probe.bind(address)
        return int(probe.getsockname()[1])


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    """Say whether a server could listen on `port`."""
    return bind_error(port, host) is None


def bind_error(port: int, host: str) -> OSError | None:
    """Return why no server could listen there; a socket in TIME_WAIT does not hinder it."""
    try:
        for family, _, _, _, address in _addresses(host, port):
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:  # as servers do, which bind to each family by itself
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except OSError as error:
        return error
    return None


def _addresses(host: str, port: int) -> list[tuple[Any, ...]]:
    try:
        return list(
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        )
    except UnicodeError as error:
        raise OSError(f"{host!r} is no name of a machine") from error


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
