"""The one runner: a scenario and a seed in, a report out; each run's figures go to a file."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.embedded_kafka import EmbeddedBroker
from app.settings import Settings
from tests.checker.report import Report
from tests.harness.cluster import Cluster
from tests.harness.pipeline import Pipeline
from tests.harness.processes import ROOT
from tests.system.chaos.run import Run
from tests.system.chaos.scenarios import Scenario
from tests.system.chaos.traffic import NAMES, Traffic

FIGURES = ROOT / "var" / "guarantees.jsonl"
SEED_VARIABLE = "CHAOS_SEED"
RATE_VARIABLE = "CHAOS_RATE"
"""Notifications/s at most, for a machine that is busy with other things."""
BROKER_HEAP_MB = 384
MIN_WINDOWS = 20
"""A run that published fewer shows nothing."""


def seed_of_today() -> int:
    """Return the seed that is asked for, or a new one; whoever uses it prints it."""
    return int(os.environ.get(SEED_VARIABLE) or time.time_ns() % 1_000_000)


def _most() -> float:
    return float(os.environ.get(RATE_VARIABLE) or "inf")


@contextmanager
def own_broker(folder: Path) -> Iterator[EmbeddedBroker]:
    """Give a broker that only this run uses, so that it may be killed."""
    broker = EmbeddedBroker(folder, heap_mb=BROKER_HEAP_MB)
    asyncio.run(broker.start())
    try:
        yield broker
    finally:
        asyncio.run(broker.stop())


def installation_of(scenario: Scenario, kafka: str, folder: Path) -> Settings:
    """Return an installation that one run has for itself."""
    unique = uuid.uuid4().hex[:8]
    return Settings(
        installation=f"chaos-{unique}",
        kafka=kafka,
        data_dir=folder,
        partitions=scenario.partitions,
        replication=scenario.brokers,
    )


def run_scenario(
    scenario: Scenario, seed: int, folder: Path, broker: EmbeddedBroker | None = None
) -> Report:
    """Run a scenario on a shared broker, or on one of its own; return the checker's report."""
    scenario = replace(scenario, rate=min(scenario.rate, _most()))
    print(f"{scenario.name}: seed {seed} ({SEED_VARIABLE}={seed} repeats it), {folder}", flush=True)
    if scenario.brokers > 1:
        with Cluster(folder / "brokers") as cluster:
            return _run(scenario, seed, folder / "run", cluster)
    if scenario.own_broker or broker is None:
        with own_broker(folder / "broker") as own:
            return _run(scenario, seed, folder / "run", own)
    return _run(scenario, seed, folder / "run", broker)


def _run(scenario: Scenario, seed: int, folder: Path, broker: EmbeddedBroker | Cluster) -> Report:
    installation = installation_of(scenario, broker.bootstrap, folder)
    began = time.monotonic()
    with Pipeline(installation, **scenario.settings) as pipeline:
        run = Run(pipeline, seed, scenario.rate)
        if isinstance(broker, Cluster):
            run.cluster = broker
        elif scenario.own_broker:
            run.broker = broker
        traffic = Traffic(installation, scenario.rate) if scenario.is_fed else None
        if traffic is None:
            run.open_venue(scenario.instruments, scenario.rate)
        else:
            run.names = list(NAMES)
            traffic.start()
        run.watch()
        try:
            for step in scenario.steps:
                step.do(run)
            if traffic is not None:
                traffic.stop()
            run.finish()
        except AssertionError as error:
            failure = Report(seed=seed, hash_equal=False, ttr_limit_s=scenario.ttr_limit_s)
            run.notes["error"] = str(error).partition("\n")[0]
            record(scenario, run, failure, [], time.monotonic() - began)
            raise
        finally:
            run.watcher.stop()
            if traffic is not None:
                traffic.stop()
        report = run.check()
    recoveries = run.ttr_s[scenario.warm_up :]
    report.ttr_s, report.ttr_limit_s = max(recoveries, default=None), scenario.ttr_limit_s
    record(scenario, run, report, recoveries, time.monotonic() - began)
    return report


def record(
    scenario: Scenario, run: Run, report: Report, recoveries: list[float], took_s: float
) -> None:
    """Append a run's figures to the file that docs/guarantees.md is made of."""
    figures: dict[str, Any] = {
        "scenario": scenario.name,
        "what": scenario.what,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "commit": commit(),
        "rate": scenario.rate,
        "ttr_all_s": recoveries,
        "stop_s": run.stop_s,
        "notes": run.notes,
        **({"error": run.notes["error"]} if "error" in run.notes else {}),
        "took_s": round(took_s, 1),
        "load": round(os.getloadavg()[0], 1),
        **report.to_dict(),
    }
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    with FIGURES.open("a") as file:
        file.write(json.dumps(figures) + "\n")
    print(json.dumps(figures), flush=True)


def machine() -> str:
    """Say what this runs on."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def commit() -> str:
    """Say which code this is; empty outside of a checkout."""
    shown = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return shown.stdout.strip()


def assert_exact(report: Report) -> None:
    """Fail unless nothing is wrong, and enough was looked at to say so.

    How long it took is judged by `make chaos`, on a machine that does nothing else.
    """
    assert report.is_exact, json.dumps(report.to_dict(), indent=1)
    compared = report.compared
    assert compared.get("windows", 0) >= MIN_WINDOWS, compared
    assert compared.get("answers", 0) > 0, compared
    assert compared.get("states", 0) > 0, compared
