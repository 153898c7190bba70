"""Lists the unfinished tasks of a process that does not end, each down to its last await.

A worker that is ended because it stands says this, or its cause could never be found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

MOST_AWAITS: Final = 50
MOST_CHARS: Final = 200
"""Limit of the text of the future that the innermost await waits for."""


def unfinished_tasks(loops: Iterable[asyncio.AbstractEventLoop]) -> Iterator[str]:
    """Yield a line for each unfinished task of the loops, which may run in other threads."""
    for loop in loops:
        for task in asyncio.all_tasks(loop):
            waits_for = str(getattr(task, "_fut_waiter", None))[:MOST_CHARS]
            yield f"{task.get_name()}: {' > '.join(_awaits(task.get_coro()))} > {waits_for}"


def _awaits(waiting: Any) -> Iterator[str]:
    """Yield the places of a coroutine and of all that it waits for; each as file:line function."""
    for _ in range(MOST_AWAITS):
        frame: FrameType | None = getattr(waiting, "cr_frame", None) or getattr(
            waiting, "gi_frame", None
        )
        if frame is None:
            return
        yield f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
