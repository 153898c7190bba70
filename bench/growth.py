"""How the cost of a notification grows: with the number of instruments, and with the book's depth.

Domain only, in processor time, so that neither Kafka nor the disk hide it. Flat over instruments
and logarithmic in depth is what is wanted. Each instrument has changes enough that what the first
ones cost, of a state that was just made, is a small part.
"""

from __future__ import annotations

import time
from typing import Any, Final

from app.recordings.compute import compute
from bench.domain import RULES
from bench.feeds import Log, generated, instrument_names
from bench.machine import load

INSTRUMENTS: Final = (1, 10, 100, 500)
DEPTHS: Final = (10, 100, 1_000, 10_000)
NOTIFICATIONS: Final = 20_000
CHANGES_EACH: Final = 200
"""Of an instrument, at least: 20 s of a channel."""
QUICK_NOTIFICATIONS: Final = 2_000
QUICK_CHANGES_EACH: Final = 4
DEPTH: Final = 100
ROUNDS: Final = 3


def run(*, quick: bool) -> list[dict[str, Any]]:
    """Measure the cost of a notification against instruments and depth."""
    count = QUICK_NOTIFICATIONS if quick else NOTIFICATIONS
    each = QUICK_CHANGES_EACH if quick else CHANGES_EACH
    rounds = 1 if quick else ROUNDS
    results = []
    for instruments in INSTRUMENTS:
        changes = max(count, each * instruments)
        log = generated(changes + instruments, instrument_names(instruments), depth=DEPTH)
        results.append({"instruments": instruments, "depth": DEPTH, **_cost(log, rounds)})
    for depth in DEPTHS:
        log = generated(count, instrument_names(1), depth=depth)
        results.append({"instruments": 1, "depth": depth, **_cost(log, rounds)})
    return results


def _cost(log: Log, rounds: int) -> dict[str, Any]:
    before = load()
    best = float("inf")
    changes = log.changes - len(log.instruments)
    for _ in range(rounds):
        snapshots = _snapshots_s(log)
        began = time.process_time()
        for _window in compute(log.lines, RULES):
            pass
        best = min(best, time.process_time() - began - snapshots)
    return {
        "load_before": before,
        "changes": changes,
        "us_per_change": round(1e6 * max(best, 0.0) / changes, 2),
    }


def _snapshots_s(log: Log) -> float:
    """Return what the snapshots alone take: a deep book's is as much as thousands of changes."""
    lines = log.lines[: len(log.instruments)]
    began = time.process_time()
    for _window in compute(lines, RULES):
        pass
    return time.process_time() - began
