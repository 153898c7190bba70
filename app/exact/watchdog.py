"""Ends a worker whose recovery or consumption stands still although Kafka answers (F19).

Faust's consumer has stopped for good after outages, and its recovery has waited for records that
never come, with a process that looks healthy. Nothing inside can mend that; a supervisor can.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any, Final

log = logging.getLogger("steelyard.watchdog")

LOOK_EVERY_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 5.0
PATIENCE_S: Final = 60.0


class StandsStill(RuntimeError):
    """There is work, Kafka answers, and nothing has moved for too long."""


@dataclass(slots=True)
class Progress:
    """Remembers since when something has not moved. It is told the time, in seconds."""

    patience_s: float = PATIENCE_S
    _last: dict[str, tuple[Any, float]] = field(default_factory=dict)

    def stands(self, what: str, where: Any, now: float) -> float | None:
        """Return for how long `what` has been at `where`, once that is too long."""
        known = self._last.get(what)
        if known is None or known[0] != where:
            self._last[what] = where, now
            return None
        since = now - known[1]
        return since if since > self.patience_s else None

    def forget(self, what: str) -> None:
        """There is nothing to do, so nothing has to move."""
        self._last.pop(what, None)


async def watch(app: Any, progress: Progress | None = None) -> None:
    """Look again and again; crash the app when it stands still."""
    progress = progress or Progress()
    while not app.should_stop:
        await asyncio.sleep(LOOK_EVERY_S)
        problem = await look(app, progress, time.monotonic())
        if problem is not None:
            log.error("%s: the worker ends, to be started again", problem)
            await app.crash(StandsStill(problem))
            return


async def look(app: Any, progress: Progress, now: float) -> str | None:
    """Return what stands still, or None."""
    if app.in_recovery:
        offsets = sorted(app.tables.recovery.active_offsets.items())
        since = progress.stands("recovery", offsets, now)
        return None if since is None else f"recovery has not moved for {since:.0f} s"
    progress.forget("recovery")
    if app.rebalancing:
        since = progress.stands("rebalance", app.rebalancing_count, now)
        return None if since is None else f"the rebalance has not ended for {since:.0f} s"
    progress.forget("rebalance")
    for keeper in app.keepers:
        for tp, lag in (await lags(app, keeper)).items():
            partition = keeper.partitions.get(tp.partition)
            if partition is None or lag <= 0:
                progress.forget(str(tp))
                continue
            since = progress.stands(str(tp), partition.position, now)
            if since is not None:
                name = f"{tp.topic}-{tp.partition}"
                return f"{name} stands at {partition.position} for {since:.0f} s, {lag} behind"
    return None


async def lags(app: Any, keeper: Any) -> dict[Any, int]:
    """Return how far each owned partition is behind; nothing if Kafka does not answer."""
    tps = [keeper.input_tp(number) for number in keeper.partitions]
    if not tps:
        return {}
    try:
        ends = await asyncio.wait_for(app.consumer.highwaters(*tps), ANSWER_TIMEOUT_S)
    except Exception as error:  # an outage is Kafka's trouble, not the worker's
        log.warning("Kafka does not answer: %r", error)
        return {}
    return {
        tp: (ends.get(tp) or 0) - keeper.partitions[tp.partition].position
        for tp in tps
        if tp.partition in keeper.partitions
    }
