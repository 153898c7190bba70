"""Standard output for programs: lines at once, and a silent end when the reader has gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any


def tolerate_encoding() -> None:
    """Let a sign that standard output's encoding lacks be printed as `?`; stderr does it itself."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def write_line(line: bytes) -> None:
    """Write a line; the reader of a pipe has it when this returns."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


@contextmanager
def to_a_pipe() -> Iterator[None]:
    """End without a word when the reader of standard output has gone: `| head` has seen enough."""
    try:
        yield
    except BrokenPipeError:
        # Python flushes standard output once more at its end, and would complain of it.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run until the work is done, or until Ctrl-C or SIGTERM, which are no error here."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(work)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
