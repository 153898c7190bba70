"""Commands of the project as a person starts them: processes with their own streams and signals."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.harness.processes import ROOT

PATIENCE_S = 80.0

Process = asyncio.subprocess.Process


@asynccontextmanager
async def command(
    *arguments: str, environment: Mapping[str, str] | None = None, **more: Any
) -> AsyncIterator[Process]:
    """Run `python -m app …`; kill it at the end if it still runs.

    Of the settings it has only those that are given, and a Kafka and a worker of its own, which are
    not there: so it does not join a demo that runs on this machine.
    """
    given = {name: value for name, value in os.environ.items() if "STEELYARD_" not in name}
    given |= {"STEELYARD_KAFKA": "127.0.0.1:1", "STEELYARD_WEB_PORT": "1"}
    given |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", *arguments),
        env=given | dict(environment or {}),
        **({"cwd": ROOT} | pipes | more),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def ended(process: Process) -> tuple[str, str]:
    """Wait for the end; return what was still on stdout and stderr."""
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return (out or b"").decode(), (err or b"").decode()


async def run(*arguments: str) -> tuple[int, str, str]:
    """Run a command to its end; return the exit code, stdout and stderr."""
    async with command(*arguments) as process:
        out, err = await ended(process)
        assert process.returncode is not None
        return process.returncode, out, err
