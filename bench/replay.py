"""Replay through Kafka: a log that lies in the feed, and workers that are started on it."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from bench.agreement import Truth, compare, truth
from bench.feeds import COPIES, INSTRUMENTS, Log, generated, instrument_names, recording
from bench.machine import cpu_s, load, resident_mb
from bench.pipeline import Broker, Output, Reader, committed, follow, topic_bytes, write_frames
from tests.harness.pipeline import Pipeline
from tests.harness.processes import ProcessEnded

TIMEOUT_S: Final = 900.0
GENERATED: Final = 300_000
QUICK_GENERATED: Final = 6_000
QUICK_LINES: Final = 1_000
WORKERS: Final = (1, 2)


def run(broker: Broker, *, quick: bool) -> list[dict[str, Any]]:
    """Replay both logs with one and with two workers."""
    results = []
    for log in (
        generated(QUICK_GENERATED if quick else GENERATED, instrument_names(INSTRUMENTS)),
        recording(instrument_names(COPIES), limit=QUICK_LINES if quick else None),
    ):
        expected = truth(log)
        results += [replay(broker, log, expected, workers) for workers in WORKERS]
    return results


def replay(
    broker: Broker, log: Log, expected: Truth, workers: int, **settings: str
) -> dict[str, Any]:
    """Return what so many workers need for a log: durable state, all windows published.

    The time is from the first windows that can be read to the last, as with the peers. Checkpoints
    and commits go on meanwhile. The commit that includes everything is told apart: it waits for the
    states that are due last, by their age (decision 0006), with nothing left to compute. Starting a
    worker is no part of it: see restart.py.
    """
    before = load()
    configured = broker.installation()
    with Pipeline(configured, ingest="false", **settings) as pipeline:
        written = asyncio.run(write_frames(configured, log))
        started = [pipeline.start_worker(number + 1) for number in range(workers)]

        def alive() -> None:
            for worker in started:
                if not worker.running:
                    raise ProcessEnded(f"{worker.name} ended\n{worker.tail()}")

        async def measure() -> tuple[Output, float]:
            async with Reader(configured.kafka, pipeline.topic("windows")) as reader:
                output, end = await asyncio.gather(
                    follow(
                        reader,
                        len(expected),
                        is_counted,
                        timeout_s=TIMEOUT_S,
                        alive=alive,
                    ),
                    committed(
                        configured.kafka,
                        configured.app_id,
                        pipeline.topic("feed"),
                        timeout_s=TIMEOUT_S,
                        alive=alive,
                    ),
                )
            return output, end

        output, end = asyncio.run(measure())
        cpu = [round(cpu_s(worker.pid), 2) for worker in started]
        memory = [resident_mb(worker.pid) for worker in started]
        sizes = changelog_sizes(broker, pipeline)
        for worker in started:
            worker.stop()
    seconds, share = output.timed()
    windows = [json.loads(record) for record in output.records if is_counted(record)]
    return {
        "who": "Steelyard",
        "variant": f"{workers} worker" + "s" * (workers > 1),
        "log": log.name,
        "load_before": before,
        "workers": workers,
        "changes": log.changes,
        "notifications": log.notifications,
        "levels": log.levels,
        "frames": written["records"],
        "seconds": round(seconds, 2),
        "share_timed": round(share, 4),
        "committed_after_s": round(max(0.0, end - output.marks[-1][0]), 2),
        "changes_per_s": round(log.changes * share / seconds),
        "notifications_per_s": round(log.notifications * share / seconds),
        "levels_per_s": round(log.levels * share / seconds),
        "windows": len(output.records),
        "cpu_s": sum(cpu),
        "cpu_us_per_change": round(1e6 * sum(cpu) / log.changes, 1),
        "resident_mb": memory,
        "feed_value_bytes": written["bytes"],
        **sizes,
        "agreement": compare(expected, windows),
    }


def is_counted(record: bytes) -> bool:
    """Whether a window is one of a second in which something happened: all that peers publish."""
    return b'"length_ms":1000,' in record and b'"observations":0,' not in record


def changelog_sizes(broker: Broker, pipeline: Pipeline) -> dict[str, int]:
    """Return what feed and changelogs take on the broker's disk, compressed as they are."""
    app_id = pipeline.installation.app_id
    names = {
        "feed_disk_bytes": pipeline.topic("feed"),
        "books_changelog_bytes": f"{app_id}-books-changelog",
        "history_changelog_bytes": f"{app_id}-history-changelog",
    }
    return {what: topic_bytes(broker, topic) for what, topic in names.items()}
