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
MIN_ROUNDS: Final = 3
"""A partition stands only if so many fetches were worked through meanwhile without it: a worker
that has fallen behind can take minutes for one, of all its partitions, and moves all the time."""


class StandsStill(RuntimeError):
    """There is work, Kafka answers, and nothing has moved for too long."""


@dataclass(slots=True)
class Progress:
    """Remembers since when something has not moved. It is told the time, in seconds."""

    patience_s: float = PATIENCE_S
    _last: dict[str, tuple[Any, float, int]] = field(default_factory=dict)

    def stands(
        self, what: str, where: Any, now: float, rounds: int = 0, min_rounds: int = 0
    ) -> float | None:
        """Return for how long `what` has been at `where`, once that is too long.

        `rounds` counts what has to have happened meanwhile, `min_rounds` times at the least.
        """
        known = self._last.get(what)
        if known is None or known[0] != where:
            self._last[what] = where, now, rounds
            return None
        since = now - known[1]
        return since if since > self.patience_s and rounds - known[2] >= min_rounds else None

    def forget(self, what: str) -> None:
        """There is nothing to do, so nothing has to move."""
        self._last.pop(what, None)

    def forget_all(self) -> None:
        """Nothing can move: what stands is given its time anew from when it can."""
        self._last.clear()


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
    if app.reach.is_lost:  # an outage is Kafka's trouble, not the worker's, however long it lasts
        progress.forget_all()
        return None
    if app.in_recovery:
        offsets = sorted(app.tables.recovery.active_offsets.items())
        since = progress.stands("recovery", offsets, now)
        return None if since is None else f"recovery has not moved for {since:.0f} s"
    progress.forget("recovery")
    if app.rebalancing:
        since = progress.stands("rebalance", app.rebalancing_count, now)
        return None if since is None else f"the rebalance has not ended for {since:.0f} s"
    progress.forget("rebalance")
    behind: dict[str, int] = {}
    for keeper in app.keepers:
        for tp, lag in (await lags(app, keeper)).items():
            name = f"{tp.topic}-{tp.partition}"
            partition = keeper.partitions.get(tp.partition)
            if partition is None or lag <= 0:
                progress.forget(name)
                continue
            behind[name] = where = partition.position
            since = progress.stands(name, where, now, app.consumer.rounds, MIN_ROUNDS)
            if since is not None:
                return f"{name} stands at {where} for {since:.0f} s, {lag} behind"
    if not behind:
        progress.forget("all")
        return None
    since = progress.stands("all", behind, now)
    return None if since is None else f"{', '.join(behind)}: nothing moves for {since:.0f} s"


async def lags(app: Any, keeper: Any) -> dict[Any, int]:
    """Return how far each owned partition is behind; nothing if Kafka does not answer."""
    tps = [keeper.input_tp(number) for number in keeper.partitions]
    if not tps:
        return {}
    try:
        ends = await asyncio.wait_for(app.consumer.highwaters(*tps), ANSWER_TIMEOUT_S)
    except Exception as error:
        log.debug("Kafka does not answer: %r", error)  # faust_exact/reachability.py says so, once
        return {}
    return {
        tp: (ends.get(tp) or 0) - keeper.partitions[tp.partition].position
        for tp in tps
        if tp.partition in keeper.partitions
    }
