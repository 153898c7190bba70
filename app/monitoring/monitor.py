"""Watches the worker itself: its loop, and what its readiness is."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from app.monitoring.collector import WorkerCollector
from app.monitoring.loop_watchdog import LoopWatchdog
from app.monitoring.metrics import Metrics
from app.state.read_model import Readiness
from app.state.worker_read_model import WorkerReadModel

log = logging.getLogger("steelyard.worker")

LOOP_CHECK_S: Final = 0.25
LOOK_EVERY_S: Final = 1.0


class Monitor:
    """The tasks that watch."""

    def __init__(self, read: WorkerReadModel, metrics: Metrics, collector: WorkerCollector) -> None:
        self._read = read
        self._metrics = metrics
        self._collector = collector
        self.said = ""
        """The state that was logged last."""
        self._clocks_said = False
        """Whether it was logged that clocks differ, and not yet that they agree again."""

    async def watch_loop(self) -> None:
        """Measure, again and again, how late the loop wakes a task; end it if it never does."""
        lag, pulse = self._metrics.loop_lag, LoopWatchdog()
        pulse.start()
        try:
            while True:
                due = time.monotonic() + LOOP_CHECK_S
                await asyncio.sleep(LOOP_CHECK_S)
                lag.observe(max(0.0, time.monotonic() - due))
                pulse.beat()
        finally:
            pulse.stop()

    async def watch_state(self) -> None:
        """Log when the worker becomes ready, degraded or neither; count what books went through."""
        while True:
            self.say(self._read.readiness())
            self.say_clocks(self._read.clock_troubles())
            self._collector.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def say_clocks(self, troubles: list[str]) -> None:
        """Log when clocks begin to differ and when they agree again: once each."""
        if troubles and not self._clocks_said:
            log.warning("%s: set the clocks, by NTP for instance", "; ".join(troubles))
        elif self._clocks_said and not troubles:
            log.info("the clocks of workers, Kafka and venue agree again")
        self._clocks_said = bool(troubles)

    def say(self, readiness: Readiness) -> None:
        """Log a change of state, once: the words of a reason may change without one."""
        if not readiness.ready:
            state, reasons = "not ready", readiness.reasons
        elif readiness.degraded:
            state, reasons = "degraded", readiness.degraded
        else:
            state, reasons = "ready", []
        if state == self.said:
            return
        level = logging.INFO if state == "ready" or not self.said else logging.WARNING
        log.log(level, "%s%s", state, ": " + "; ".join(reasons) if reasons else "")
        self.said = state
