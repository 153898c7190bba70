"""/metrics: what is measured, in few and known labels, under the names that docker/ uses."""

import json
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientSession
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app import WHAT_RUNS
from app.api.push.hub import Hub
from app.hot_path.finder import RUNS_COMPILED
from app.ingest.service import Waiting
from app.monitoring.collector import BOOK_EVENTS, WorkerCollector
from app.monitoring.histograms import LATENCY_S, STAGES
from app.monitoring.metrics import OTHER, REFUSED_REASONS, Metrics, reason_label
from app.state.read_model import Readiness
from app.version import VERSION
from tests.api.docker_names import FOLDER, used_metrics
from tests.api.recorded import RecordedServing, served

ROOT = Path(__file__).parents[2]
MAX_LABEL_VALUES = 64


def samples(metrics: Metrics) -> dict[str, dict[tuple[str, ...], float]]:
    """Return values by name and labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(metrics.expose().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def state(name: str, **counts: int) -> SimpleNamespace:
    return SimpleNamespace(name=name, status="live", is_retired=False, counts=Counter(counts))


class Worker:
    """What the collector reads of a worker, in plain objects."""

    def __init__(self) -> None:
        self.states = {b"A": state("A", gaps=3), b"B": state("B")}
        partition = SimpleNamespace(states=self.states, position=90)
        books = SimpleNamespace(
            partitions={4: partition},
            topic="x-feed",
            input_tp=lambda number: ("x-feed", number),
            loopback=SimpleNamespace(applied=5),
        )
        connection = SimpleNamespace(session="s")
        ingest = SimpleNamespace(
            client=SimpleNamespace(
                counts=SimpleNamespace(
                    messages=7, bytes=70, overflowed=1, disconnects=Counter(reset=2)
                )
            ),
            counts=SimpleNamespace(sessions=3, gaps=1, rejected=0),
            connections=[connection, SimpleNamespace(session=None)],
            started=True,
            waiting=lambda: Waiting(messages=8, frames=9, oldest_s=1.25),
        )
        self.ingest: Any = ingest
        self.read: Any = SimpleNamespace(
            readiness=lambda: Readiness(True, [], {}, ["the feed is stale"])
        )
        history = SimpleNamespace(
            partitions={}, topic="x-closed", loopback=SimpleNamespace(applied=2)
        )
        self.written: Any = SimpleNamespace(
            metrics=Metrics(),
            books=books,
            history=history,
            feed_age_ms=lambda number: 1_500,
            latest=SimpleNamespace(clocks=SimpleNamespace(ahead_ms={"mine": -250}.get)),
            secret="mine",
            venue_ahead_ms=40,
        )
        self.consumer_is_ready = True
        self.consumer = SimpleNamespace(
            assignment=lambda: {("x-feed", 4)}, highwater=lambda tp: 100
        )

    def collector(self) -> WorkerCollector:
        hub = Hub(RecordedServing(), 10, lambda seconds: None)
        made = WorkerCollector(self.read, self.written, self.ingest, hub, self, "x-")
        self.written.metrics.registry.register(made)
        return made


def test_what_docker_uses_is_there() -> None:
    worker = Worker()
    worker.collector()
    metrics = worker.written.metrics
    metrics.checkpoint("books", [b"x"], 0.1)
    metrics.window("complete", 0, 0)
    assert used_metrics() <= set(samples(metrics))


def test_every_metric_of_the_worker_is_documented() -> None:
    worker = Worker()
    worker.collector()
    text = worker.written.metrics.expose().decode()
    documented = (ROOT / "docs" / "operations.md").read_text()
    for family in text_string_to_metric_families(text):
        if family.name.startswith("steelyard_"):
            assert family.name in documented, f"{family.name} is not in docs/operations.md"


def test_the_collector_reads_the_worker() -> None:
    worker = Worker()
    worker.collector()
    found = samples(worker.written.metrics)
    assert found["steelyard_feed_messages_total"][()] == 7
    assert found["steelyard_feed_bytes_total"][()] == 70
    assert found["steelyard_feed_disconnects_total"][("reset",)] == 2
    assert found["steelyard_feed_disconnects_total"][("closed",)] == 0
    assert found["steelyard_feed_connections"][()] == 1
    assert found["steelyard_feed_waiting_messages"][()] == 8
    assert found["steelyard_feed_waiting_frames"][()] == 9
    assert found["steelyard_feed_waiting_seconds"][()] == 1.25
    assert found["steelyard_feed_age_seconds"][()] == 1.5
    assert found["steelyard_clock_ahead_seconds"] == {("kafka",): -0.25, ("venue",): 0.04}
    assert found["steelyard_instruments"][("live",)] == 2
    assert found["steelyard_lag_records"][("feed",)] == 10
    assert found["steelyard_looped_back_records_total"][("feed",)] == 5
    assert (found["steelyard_ready"][()], found["steelyard_degraded"][()]) == (1, 1)


def test_without_ingest_nothing_is_said_of_it() -> None:
    worker = Worker()
    worker.ingest = None
    worker.collector()
    said = samples(worker.written.metrics)
    assert not any(name.startswith(("steelyard_feed_m", "steelyard_feed_w")) for name in said)


def test_counts_that_move_with_a_state_are_not_counted_again() -> None:
    worker = Worker()
    collector = worker.collector()

    def gaps() -> float:
        return samples(worker.written.metrics)["steelyard_book_events_total"][("gap",)]

    assert gaps() == 0  # the 3 of A happened before it came here
    worker.states[b"A"].counts["gaps"] = 5
    assert gaps() == 2
    gone = worker.states.pop(b"A")
    assert gaps() == 2
    gone.counts["gaps"] = 50  # at another worker
    worker.states[b"A"] = gone
    collector.look()
    assert gaps() == 2
    worker.states[b"A"].counts["gaps"] = 51
    assert gaps() == 3


def test_labels_are_few_whatever_the_venue_says() -> None:
    worker = Worker()
    for number in range(1_000):
        worker.ingest.client.counts.disconnects[f"reason {number}"] = number
        worker.written.metrics.refused(f"something new {number}: \n{'x' * 500}")
    worker.collector()
    for name, by_labels in samples(worker.written.metrics).items():
        assert len(by_labels) <= MAX_LABEL_VALUES * len(STAGES), name
    refused = samples(worker.written.metrics)["steelyard_refused_total"]
    assert refused[(OTHER,)] == 1_000
    assert len(refused) == len(set(REFUSED_REASONS.values())) + 1


@pytest.mark.parametrize(
    ("reason", "label"),
    [
        ("not a frame: truncated", "frame"),
        ("price 0 is not a positive multiple of 1e-8", "number"),
        ("channel book.X.raw is not about Y", "wrong_instrument"),
        ("timestamp 9 is 100000 ms ahead of the venue's", "timestamp"),
        ("Expected `int`, got `str`", "malformed"),
        ("what nobody has thought of", OTHER),
    ],
)
def test_reasons(reason: str, label: str) -> None:
    assert reason_label(reason) == label


def test_the_time_without_a_book() -> None:
    metrics = Metrics()
    for now, status in (
        (1.0, "live"),
        (2.0, "gap"),
        (3.0, "resyncing"),
        (4.5, "live"),
        (9, "live"),
    ):
        metrics.status("A", status, now)
    metrics.status("B", "gap", 1.0)
    metrics.keep({"A"})
    metrics.status("B", "live", 100.0)  # it was somebody else's meanwhile
    found = samples(metrics)
    assert found["steelyard_resync_seconds_count"][()] == 1
    assert found["steelyard_resync_seconds_sum"][()] == 2.5


def test_a_state_that_is_written_anew_is_not_late() -> None:
    metrics = Metrics()
    for published_ms, received_ms in ((1_100, 1_000), (9_000, 1_000), (9_250, 9_050)):
        times = {"received_ms": received_ms, "published_ms": published_ms}
        metrics.live([SimpleNamespace(instrument="A", status="live", **times)])
    found = samples(metrics)
    assert found["steelyard_latency_seconds_count"][("live",)] == 2
    assert found["steelyard_latency_seconds_sum"][("live",)] == pytest.approx(0.3)


def test_checkpoints_and_windows() -> None:
    metrics = Metrics()
    metrics.checkpoint("books", [b"12345", None, b"1"], 0.2)
    metrics.window("gap", 10_000, 10_250)
    found = samples(metrics)
    assert found["steelyard_checkpoint_records_total"][("books",)] == 2
    assert found["steelyard_checkpoint_bytes_total"][("books",)] == 6
    assert found["steelyard_windows_published_total"][("gap",)] == 1
    assert found["steelyard_latency_seconds_sum"][("window",)] == 0.25


def test_a_latency_is_exposed_as_the_library_would_do_it() -> None:
    metrics, library = Metrics(), CollectorRegistry()
    histogram = Histogram(
        "steelyard_latency_seconds", "", ["stage"], buckets=LATENCY_S, registry=library
    )
    for stage in STAGES:
        histogram.labels(stage)
    for seconds in (0, *LATENCY_S, 0.0011, 29.9, 31, 1e6):
        metrics.latency["pushed"].observe(seconds)
        histogram.labels("pushed").observe(seconds)

    def lines(exposed: bytes) -> set[str]:
        return {
            line
            for line in exposed.decode().splitlines()
            if line.startswith("steelyard_latency_seconds")
        }

    assert lines(metrics.expose()) == lines(generate_latest(library))


def test_build_info() -> None:
    assert f'version = "{VERSION}"' in (ROOT / "pyproject.toml").read_text()
    ((labels, value),) = samples(Metrics())["steelyard_build_info"].items()
    assert VERSION in labels
    assert ("compiled" if WHAT_RUNS == RUNS_COMPILED else "python") in labels
    assert value == 1


def test_book_events_are_counts_of_the_processor() -> None:
    source = (ROOT / "app" / "processing" / "processor.py").read_text()
    for name in BOOK_EVENTS:
        assert f'counts["{name}"]' in source, f"the processor does not count {name}"


async def test_it_is_served(serving_url: str) -> None:
    async with ClientSession() as http, http.get(f"{serving_url}/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert b"steelyard_build_info{" in await answer.read()


@pytest.fixture
async def serving_url():
    async with served(RecordedServing()) as url:
        yield url


def test_the_dashboard_can_be_read() -> None:
    board = json.loads((FOLDER / "grafana" / "steelyard.json").read_text())
    places = set()
    for panel in board["panels"]:
        assert panel["targets"], panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        places.add((place["x"], place["y"]))
        for target in panel["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")")
            assert "$instance" in target["expr"]
    assert len(places) == len(board["panels"])
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_every_alert_says_what_to_do() -> None:
    text = (FOLDER / "prometheus" / "alerts.yaml").read_text()
    alerts = re.split(r"\n      - alert: ", text)[1:]
    assert len(alerts) >= 10
    for alert in alerts:
        name = alert.splitlines()[0]
        for needed in ("expr:", "severity:", "summary:", "action:"):
            assert needed in alert, f"{name} has no {needed}"
