"""An event loop whose clock is the simulation's: it jumps from one timer to the next.

Nothing waits for real time, so a simulated minute takes milliseconds, and what happens depends on
the seed alone. Modules of the product read `time.monotonic` and `time.time`; `simulated_time` puts
the loop's clock in their place.
"""

from __future__ import annotations

import asyncio
import importlib
import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final

import pytest

EPOCH_S: Final = 1_723_161_599.0
TIMED_MODULES: Final = (
    "faust_exact.partition_states",
    "faust_exact.partition",
    "faust_exact.checkpoint",
    "faust_exact.fast.local_delivery",
)
TURN_MODULE: Final = "faust_exact.time_slice"


class StandsStill(Exception):
    """No callback is ready and no timer is set: the simulated program waits for ever."""


class _NothingToSelect(selectors.SelectSelector):
    """Has no files that could become ready, so it never waits for any."""

    def select(self, timeout: float | None = None) -> list[Any]:
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs what is ready; when nothing is, the clock jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__(_NothingToSelect())
        self._now_s = 0.0
        self.after_step: Callable[[], None] | None = None
        """Is called after all callbacks that were ready have run."""
        self.failure: BaseException | None = None
        """The first error that a callback raised."""
        self.set_exception_handler(self._failed)

    def _failed(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "handle" in context and self.failure is None:
            self.failure = error

    def time(self) -> float:
        """Return the simulated time, in seconds since the start."""
        return self._now_s

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        scheduled: Any = self._scheduled  # type: ignore[attr-defined]
        if not ready:
            if not scheduled:
                raise StandsStill
            self._now_s = max(self._now_s, scheduled[0].when())
        super()._run_once()  # type: ignore[misc]
        if self.after_step is not None:
            self.after_step()


class _Clock:
    """Takes the place of the module `time`."""

    def __init__(self, loop: SimulatedLoop, turns: Random | None = None) -> None:
        self._loop = loop
        self._turns = turns

    def monotonic(self) -> float:
        """Return the loop's time; for turns of the loop a little more, so that some are over."""
        more = 0.0 if self._turns is None else self._turns.choice((0.0, 0.01))
        return self._loop.time() + more

    def time(self) -> float:
        return EPOCH_S + self._loop.time()


@contextmanager
def simulated_time(loop: SimulatedLoop, random: Random) -> Iterator[None]:
    """Have the exact layer read the loop's clock."""
    with pytest.MonkeyPatch.context() as patch:
        for name in TIMED_MODULES:
            patch.setattr(importlib.import_module(name), "time", _Clock(loop))
        patch.setattr(importlib.import_module(TURN_MODULE), "time", _Clock(loop, random))
        yield
