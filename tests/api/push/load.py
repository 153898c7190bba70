"""A crowd on a worker's stream, deaf and hostile clients beside it, and what they cost the worker.

    python -m tests.api.push.load --url http://127.0.0.1:6066 --clients 500 --deaf 200 --seconds 60

First the worker is watched without the crowd, then with it. All clients are in processes of their
own. The figures are printed as one JSON object and appended to var/push.jsonl, of which
`python -m tests.api.push.render` makes docs/load.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from typing import Any

from app.cli.local_worker import open_direct
from tests.api.push.crowd import Result, crowd
from tests.api.push.hostile import Harm, Siege
from tests.api.push.scrape import MEMORY, Scrape, most, quantile_s, rate, scrape
from tests.harness.processes import ROOT
from tests.harness.sampler import Sampler
from tests.system.chaos.runner import commit, machine

FIGURES = ROOT / "var" / "push.jsonl"
LATENCY = "steelyard_latency_seconds"
MB = 2**20
LATE_P99_LIMIT_MS = 250.0
ORDINARY_P99_LIMIT_MS = 100.0
GROWTH_LIMIT_MB = 100.0
PROCESSED_LEAST = 0.95
PROCESSED = ("messages_per_s", "windows_per_s")
"""A window is published when all that is before its end has been processed."""
SPARE_S = 2.0
"""The crowd outlasts what is measured."""
SETTLE_S = 3.0
"""After the crowd has gone: what it held is given back."""


def options() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.api.push.load", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:6066")
    parser.add_argument("--query", default="lengths=1s", help="of /v1/stream")
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--deaf", type=int, default=200, help="clients that never read")
    parser.add_argument("--slow", type=int, default=50, help="requests that never end; 0: no siege")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--skip-s", type=float, default=8.0, help="until all are connected")
    parser.add_argument("--alone-s", type=float, default=60.0, help="watched before the crowd")
    parser.add_argument("--processes", type=int, default=2, help="that the clients share")
    chosen = parser.parse_args()
    chosen.url = chosen.url.rstrip("/")
    return chosen


def worker_of(before: Scrape, after: Scrape) -> dict[str, Any]:
    """Return what a worker did between two moments."""
    return {
        "cpu_share": round(rate(before, after, "process_cpu_seconds_total"), 3),
        "messages_per_s": round(rate(before, after, "steelyard_feed_messages_total"), 1),
        "windows_per_s": round(rate(before, after, "steelyard_windows_published_total"), 2),
        "applied_p99_ms": quantile_s(before, after, LATENCY, 0.99, stage="applied") * 1e3,
        "loop_lag_p99_ms": quantile_s(before, after, "steelyard_loop_lag_seconds", 0.99) * 1e3,
    }


def judged(figures: dict[str, Any]) -> dict[str, bool]:
    """Return what is asked, and whether it was so."""
    alone, crowded = figures["alone"], figures["crowded"]
    asked = {
        f"p99 of delivery < {LATE_P99_LIMIT_MS:.0f} ms": figures["late_ms"]["p99"]
        < LATE_P99_LIMIT_MS,
        f"memory + ≤ {GROWTH_LIMIT_MB:.0f} MB": figures["memory_grew_mb"] <= GROWTH_LIMIT_MB,
        f"processing ≥ {PROCESSED_LEAST:.0%}": not figures["overflowed"]
        and all(crowded[what] >= PROCESSED_LEAST * alone[what] for what in PROCESSED),
        "no client was refused or dropped": not (figures["refused"] or figures["ended"]),
    }
    if "hostile" in figures:
        hostile = figures["hostile"]
        asked |= {
            f"p99 of an ordinary answer < {ORDINARY_P99_LIMIT_MS:.0f} ms": hostile[
                "ordinary_p99_ms"
            ]
            < ORDINARY_P99_LIMIT_MS,
            "hostile requests: 4xx as problem+json, or closed": not hostile["wrong"],
            "every ordinary answer is 200": not hostile["ordinary_failed"],
        }
    return asked


def hostile_of(harm: Harm) -> dict[str, Any]:
    """Return what became of the siege."""
    return {
        "requests": harm.statuses.total(),
        "statuses": dict(sorted(harm.statuses.items())),
        "wrong": harm.wrong[:5],
        "slow_ended": harm.dripping_ended,
        "ordinary": len(harm.ordinary_ms),
        "ordinary_p50_ms": round(harm.ordinary_quantile(0.5), 1),
        "ordinary_p99_ms": round(harm.ordinary_quantile(0.99), 1),
        "ordinary_failed": harm.ordinary_failed[:5],
    }


def late_of(result: Result) -> dict[str, float]:
    """Return how late the events were."""
    shares = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
    return {name: round(result.quantile(share), 1) for name, share in shares}


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return all figures of one run."""
    url = chosen.url
    names = instruments(url)
    load_before = os.getloadavg()[0]
    first = scrape(url)
    time.sleep(chosen.alone_s)
    alone = scrape(url)
    siege = Siege(url, f"/v1/imbalance/{names[0]}", chosen.slow)
    sizes = (chosen.clients, chosen.deaf, chosen.seconds + SPARE_S, chosen.skip_s, chosen.processes)
    scrapes = Sampler(lambda: scrape(url))
    with crowd(url, chosen.query, *sizes) as result, scrapes:
        time.sleep(chosen.skip_s)
        began = scrape(url)
        if chosen.slow:
            with siege:
                time.sleep(chosen.seconds)
        else:
            time.sleep(chosen.seconds)
        ended = scrape(url)
    time.sleep(SETTLE_S)
    after = scrape(url)
    memory_mb = first.value(MEMORY) / MB
    figures: dict[str, Any] = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "commit": commit(),
        "load_before": round(load_before, 1),
        "instruments": len(names),
        "clients": chosen.clients,
        "deaf": chosen.deaf,
        "slow": chosen.slow,
        "seconds": chosen.seconds,
        "query": chosen.query,
        "events": result.events,
        "mb_per_s": round(result.bytes / (chosen.seconds + SPARE_S) / 1e6, 1),
        "late_ms": late_of(result),
        "pushed_p99_ms": quantile_s(began, ended, LATENCY, 0.99, stage="pushed") * 1e3,
        "ended": result.ended,
        "refused": result.refused,
        "clients_cpu_share": round(result.cpu_share, 2),
        "alone": worker_of(first, alone),
        "crowded": worker_of(began, ended),
        "overflowed": ended.value("steelyard_feed_overflowed_total")
        - first.value("steelyard_feed_overflowed_total"),
        "lag_records_most": most(scrapes.samples, "steelyard_lag_records", topic="feed"),
        "memory_mb": round(memory_mb, 1),
        "memory_most_mb": round(most(scrapes.samples, MEMORY) / MB, 1),
        "memory_grew_mb": round(most(scrapes.samples, MEMORY) / MB - memory_mb, 1),
        "memory_after_mb": round(after.value(MEMORY) / MB, 1),
        "streams_most": most(scrapes.samples, "steelyard_push_clients"),
    }
    if chosen.slow:
        figures["hostile"] = hostile_of(siege.harm)
    return figures | {"asked": judged(figures)}


def instruments(url: str) -> list[str]:
    """Return the names of what the worker knows."""
    with open_direct(f"{url}/v1/instruments", 10) as answer:
        return [row["instrument"] for row in json.load(answer)["data"]]


def main() -> int:
    """Run, say how it was, keep the figures."""
    figures = measure(options())
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    with FIGURES.open("a") as file:
        file.write(json.dumps(figures) + "\n")
    print(json.dumps(figures, indent=1))
    return int(not all(figures["asked"].values()))


if __name__ == "__main__":
    sys.exit(main())
