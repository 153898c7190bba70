"""How long a worker is away: stopped, killed, and with an empty disk; and what it writes meanwhile.

The time is from the start of the new process until every instrument is served as live again, the
exchange going on all the while. Changelog and feed are compared by what they take on the broker's
disk, both compressed, over the same stretch of live data.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any, Final

from bench.feeds import INSTRUMENTS
from bench.live import QUICK_INSTRUMENTS, memory_of, wait_live
from bench.machine import load
from bench.pipeline import Broker
from bench.replay import changelog_sizes
from tests.harness.pipeline import Pipeline, Worker

RATE: Final = 400
"""The measured peak of all of Deribit's perpetuals at 100 ms."""
WARM_S: Final = 60.0
QUICK_WARM_S: Final = 3.0
LIVE_TIMEOUT_S: Final = 120.0


def run(broker: Broker, *, quick: bool) -> list[dict[str, Any]]:
    """Let a worker run, end it in three ways, and measure each time how long it is away."""
    instruments = QUICK_INSTRUMENTS if quick else INSTRUMENTS
    warm_s = QUICK_WARM_S if quick else WARM_S
    rate = RATE * instruments // INSTRUMENTS
    before = load()
    configured = broker.installation()
    results: list[dict[str, Any]] = []
    with Pipeline(configured) as pipeline:
        pipeline.start_exchange("--instruments", str(instruments), "--rate", str(rate))
        worker = pipeline.start_worker(1)
        wait_live(worker.url, instruments, LIVE_TIMEOUT_S)
        started = changelog_sizes(broker, pipeline)
        with memory_of(worker) as memory:
            time.sleep(warm_s)
        ended = changelog_sizes(broker, pipeline)
        grown = {name: ended[name] - started[name] for name in ended}
        changelogs = grown["books_changelog_bytes"] + grown["history_changelog_bytes"]
        results.append(
            {
                "what": "changelog per feed byte",
                "load_before": before,
                "instruments": instruments,
                "rate": rate,
                "seconds": warm_s,
                **grown,
                "changelog_per_feed_byte": round(changelogs / max(1, grown["feed_disk_bytes"]), 3),
                "resident_mb": memory.samples,
            }
        )
        for what, end in ENDS.items():
            before = load()
            end(worker)
            began = time.monotonic()
            worker = pipeline.start_worker(1)
            wait_live(worker.url, instruments, LIVE_TIMEOUT_S)
            results.append(
                {
                    "what": what,
                    "load_before": before,
                    "instruments": instruments,
                    "rate": rate,
                    "seconds_to_live": round(time.monotonic() - began, 2),
                }
            )
        worker.stop()
    return results


def _stop(worker: Worker) -> None:
    worker.stop()


def _kill(worker: Worker) -> None:
    worker.kill()


def _kill_and_lose_disk(worker: Worker) -> None:
    worker.kill()
    shutil.rmtree(worker.log.parent / "workers")


ENDS: Final[dict[str, Callable[[Worker], None]]] = {
    "stopped, started again": _stop,
    "killed, started again": _kill,
    "killed, disk lost, started again": _kill_and_lose_disk,
}
