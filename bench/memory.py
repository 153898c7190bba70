"""Memory over time: one worker at a rate, for minutes or an hour; flat is what is wanted.

Nothing else reads: neither streams nor consumers take memory or time on the machine.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Final

from bench.feeds import INSTRUMENTS
from bench.live import QUICK_INSTRUMENTS, QUICK_RATES, memory_of, wait_live
from bench.pipeline import Broker
from tests.harness.pipeline import Pipeline, Worker

RATE: Final = 1_000
MINUTES: Final = 10.0
QUICK_MINUTES: Final = 0.1
READY_TIMEOUT_S: Final = 180.0
SAY_EVERY_S: Final = 60.0
SETTLING: Final = 0.5
"""Caches, the history and RocksDB's buffers fill in the first part; growth is that of the rest."""


def run(broker: Broker, *, quick: bool, minutes: float | None = None) -> list[dict[str, Any]]:
    """Return what a worker holds, once a second."""
    minutes = minutes or (QUICK_MINUTES if quick else MINUTES)
    rate, instruments = (QUICK_RATES[0], QUICK_INSTRUMENTS) if quick else (RATE, INSTRUMENTS)
    with Pipeline(broker.installation()) as pipeline:
        pipeline.start_exchange("--instruments", str(instruments), "--rate", str(rate))
        worker = pipeline.start_worker(1)
        worker.wait_ready(READY_TIMEOUT_S)
        wait_live(worker.url, instruments, READY_TIMEOUT_S)
        with memory_of(worker) as memory:
            _pass(minutes * 60, worker, memory.samples)
        worker.stop()
    return [
        {
            "rate": rate,
            "instruments": instruments,
            "minutes": minutes,
            "resident_mb": memory.samples,
            "mb_an_hour": growth_mb_an_hour(memory.samples),
        }
    ]


def growth_mb_an_hour(samples: list[float]) -> float | None:
    """Return the slope of what is held, by least squares over the settled part; samples are 1 s."""
    settled = samples[int(SETTLING * len(samples)) :]
    count = len(settled)
    if count < 2:
        return None
    mean_at, mean = (count - 1) / 2, sum(settled) / count
    covariance = sum((at - mean_at) * (value - mean) for at, value in enumerate(settled))
    variance = sum((at - mean_at) ** 2 for at in range(count))
    return round(3_600 * covariance / variance, 1)


def _pass(seconds: float, worker: Worker, held_mb: list[float]) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, SAY_EVERY_S))
        if not worker.running:
            raise AssertionError(f"{worker.name} ended\n{worker.tail()}")
        print(f"bench: {held_mb[-1]} MB, {left / 60:.0f} min left", file=sys.stderr)
