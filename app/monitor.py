"""Watches the worker itself: its loop, whether Kafka answers, and what its readiness is."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from app.pulse import Pulse

if TYPE_CHECKING:
    from app.metrics_collector import WorkerCollector
    from app.serving import Readiness
    from app.worker import Steelyard

log = logging.getLogger("steelyard.worker")

LOOP_CHECK_S: Final = 0.25
LOOK_EVERY_S: Final = 1.0
KAFKA_TIMEOUT_S: Final = 5.0
"""Kafka is asked again a second after each answer; a request of Faust's takes up to 30 s."""


class Monitor:
    """The tasks that watch."""

    def __init__(self, app: Steelyard, collector: WorkerCollector) -> None:
        self.app = app
        self.collector = collector
        self.said = ""
        """The state that was logged last."""
        self._kafka_silent_since: float | None = None

    async def watch_loop(self) -> None:
        """Measure, again and again, how late the loop wakes a task; end it if it never does."""
        lag, pulse = self.app.shared.metrics.loop_lag, Pulse()
        pulse.start()
        try:
            while True:
                due = time.monotonic() + LOOP_CHECK_S
                await asyncio.sleep(LOOP_CHECK_S)
                lag.observe(max(0.0, time.monotonic() - due))
                pulse.beat()
        finally:
            pulse.stop()

    async def watch_kafka(self) -> None:
        """Ask Kafka, again and again, for the end of an owned partition."""
        shared = self.app.shared
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            tps = [shared.books.input_tp(number) for number in list(shared.books.partitions)[:1]]
            if not tps or self.app.rebalancing or self.app.in_recovery:
                continue  # not ready for another reason, and the client may be busy with that
            try:
                async with asyncio.timeout(KAFKA_TIMEOUT_S):
                    await self.app.consumer.highwaters(*tps)
            except Exception as error:  # whatever the client raises, Kafka has not answered
                self.say_kafka(error, time.monotonic())
            else:
                self.say_kafka(None, time.monotonic())
            shared.kafka_answers = self._kafka_silent_since is None

    def say_kafka(self, error: Exception | None, now: float) -> None:
        """Log when Kafka falls silent and when it answers again: once each, however long it is."""
        since = self._kafka_silent_since
        if error is not None and since is None:
            log.warning("Kafka does not answer: %r", error)
            self._kafka_silent_since = now
        elif error is None and since is not None:
            log.info("Kafka answers again, after %.0f s", now - since)
            self._kafka_silent_since = None

    async def watch_state(self) -> None:
        """Log when the worker becomes ready, degraded or neither; count what books went through."""
        while True:
            self.say(self.app.shared.readiness())
            self.collector.look()
            await asyncio.sleep(LOOK_EVERY_S)

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
