"""Replay through Kafka: workers that are given a whole log at once.

Also with each worker held to a share of a core. Two that share two cores with their broker and with
the reader of their windows show what the machine can do; two of 40 % each show what the design can.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any, Final

from bench.agreement import Truth, compare, truth
from bench.feeds import COPIES, INSTRUMENTS, Log, generated, instrument_names, recording
from bench.limits import NoGroups, limited
from bench.machine import Usage, cpu_s, load, resident_mb
from bench.pipeline import (
    PARTITIONS,
    Broker,
    Output,
    Reader,
    committed,
    follow,
    topic_bytes,
    write_frames,
)
from tests.harness.pipeline import Pipeline, Worker
from tests.harness.processes import ProcessEnded

TIMEOUT_S: Final = 900.0
SHARED_S: Final = 120.0
GENERATED: Final = 900_000
"""About 15 s of one worker; all of the recording is about 7 s."""
QUICK_GENERATED: Final = 6_000
QUICK_LINES: Final = 1_000
WORKERS: Final = (1, 2)
PERCENT: Final = 40.0
"""Of a core for each worker: two, their broker and the reader fit into two cores."""
LIMITED_GENERATED: Final = 300_000
"""About 15 s of one worker that is held; all of the recording is a little more."""


def run(broker: Broker, *, quick: bool) -> list[dict[str, Any]]:
    """Replay both logs with one and with two workers; then less of them, with workers held."""
    names, copies = instrument_names(INSTRUMENTS), instrument_names(COPIES)
    lines = QUICK_LINES if quick else None
    results: list[dict[str, Any]] = []
    for percent, made in (  # one log is held at a time: they are large
        (None, lambda: generated(QUICK_GENERATED if quick else GENERATED, names)),
        (None, lambda: recording(copies, limit=lines)),
        (PERCENT, lambda: generated(QUICK_GENERATED if quick else LIMITED_GENERATED, names)),
        (PERCENT, lambda: recording(copies, limit=lines)),
    ):
        results += _replays(broker, made(), percent)
    return results


def _replays(broker: Broker, log: Log, percent: float | None) -> list[dict[str, Any]]:
    expected = truth(log)
    results = []
    for workers in WORKERS:
        try:
            results.append(replay(broker, log, expected, workers, percent))
        except NoGroups as error:
            results.append(_not_measured(log, workers, percent, f"no cgroup: {error}"))
    return results


def replay(
    broker: Broker,
    log: Log,
    expected: Truth,
    workers: int,
    percent: float | None = None,
    **settings: str,
) -> dict[str, Any]:
    """Return what so many workers need for a log: durable state, all windows published.

    With `percent` each of them has so much of a core; raises NoGroups if that can't be arranged.

    The log is written when the workers have shared out its partitions, as fast as the broker takes
    it: a worker that joined later would have them shared out again, in the midst of it. From then
    on workers are held. The time is from the first windows that can be read, while the log is still
    being written, to the last, as with the peers. Checkpoints and commits go on meanwhile. The
    commit that includes everything is told apart: it waits for the states that are due last, by
    their age (decision 0006), with nothing left to compute; of workers that are held it is not
    waited for. Starting a worker is no part of it: see restart.py.
    """
    before = load()
    configured = broker.installation()
    with ExitStack() as stack:
        groups = [
            stack.enter_context(limited(percent, f"worker-{number + 1}"))
            for number in range(workers if percent is not None else 0)
        ]
        pipeline = stack.enter_context(Pipeline(configured, ingest="false", **settings))
        started = [pipeline.start_worker(number + 1) for number in range(workers)]

        def alive() -> None:
            for worker in started:
                if not worker.running:
                    raise ProcessEnded(f"{worker.name} ended\n{worker.tail()}")

        async def follow_all(reader: Reader) -> tuple[Output, dict[str, float]]:
            usage = Usage({worker.name: worker.pid for worker in started})
            wanted = len(expected)
            output = await follow(reader, wanted, is_counted, timeout_s=TIMEOUT_S, alive=alive)
            return output, usage.percent()

        async def write() -> tuple[dict[str, int], float | None]:
            written = await write_frames(configured, log)
            if percent is not None:
                return written, None
            return written, await committed(
                configured.kafka,
                configured.app_id,
                pipeline.topic("feed"),
                timeout_s=TIMEOUT_S,
                alive=alive,
            )

        async def measure() -> tuple[dict[str, int], Output, dict[str, float], float | None]:
            async with Reader(configured.kafka, pipeline.topic("windows")) as reader:
                # Followed from before it is written: workers begin while it is.
                (output, used), (written, end) = await asyncio.gather(follow_all(reader), write())
            return written, output, used, end

        started[0].wait_until("sharing partitions", lambda: have_shared(started), SHARED_S)
        for group, worker in zip(groups, started, strict=bool(groups)):
            group.add(worker.pid)
        written, output, used, end = asyncio.run(measure())
        cpu = [round(cpu_s(worker.pid), 2) for worker in started]
        memory = [resident_mb(worker.pid) for worker in started]
        sizes = changelog_sizes(broker, pipeline)
        for worker in started:
            worker.stop()
    seconds, share = output.timed()
    windows = [json.loads(record) for record in output.records if is_counted(record)]
    return {
        "who": "Steelyard",
        "variant": _variant(workers, percent),
        "log": log.name,
        "load_before": before,
        "workers": workers,
        "percent": percent,
        "changes": log.changes,
        "notifications": log.notifications,
        "levels": log.levels,
        "frames": written["records"],
        "seconds": round(seconds, 2),
        "share_timed": round(share, 4),
        "committed_after_s": None if end is None else round(max(0.0, end - output.marks[-1][0]), 2),
        "changes_per_s": round(log.changes * share / seconds),
        "notifications_per_s": round(log.notifications * share / seconds),
        "levels_per_s": round(log.levels * share / seconds),
        "windows": len(output.records),
        "cpu_s": sum(cpu),
        "cpu_percent": used,
        "cpu_us_per_change": round(1e6 * sum(cpu) / log.changes, 1),
        "resident_mb": memory,
        "feed_value_bytes": written["bytes"],
        **sizes,
        "agreement": compare(expected, windows),
    }


def _not_measured(log: Log, workers: int, percent: float | None, why: str) -> dict[str, Any]:
    print(f"bench: {_variant(workers, percent)}: not measured: {why}", file=sys.stderr)
    return {
        "who": "Steelyard",
        "variant": _variant(workers, percent),
        "log": log.name,
        "workers": workers,
        "percent": percent,
        "changes": log.changes,
        "changes_per_s": 0,
        "levels_per_s": 0,
        "agreement": None,
        "not_measured": "not measured: no cgroup",
    }


def _variant(workers: int, percent: float | None) -> str:
    count = f"{workers} worker" + "s" * (workers > 1)
    if percent is None:
        return count
    return f"{count}, {percent:g} % of a core" + " each" * (workers > 1)


def have_shared(workers: Sequence[Worker]) -> bool:
    """Whether each worker has taken over partitions, and all of them have been."""
    owned = [_partitions(worker) for worker in workers]
    return all(owned) and sorted(chain.from_iterable(owned)) == list(range(PARTITIONS))


def _partitions(worker: Worker) -> list[int]:
    """Return what a worker says that it owns; it is not ready before it knows an instrument."""
    status, answer = worker.get("/readyz")
    if answer is None:
        return []
    partitions: list[int] = (answer["data"] if status == 200 else answer)["details"]["partitions"]
    return partitions


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
