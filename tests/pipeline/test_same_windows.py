"""One path: what is computed live, replayed or from a file has the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.compute import compute
from app.processor import Rules
from app.recording import read_recording
from app.settings import Settings
from models.window import encode_window
from orderbook.span import Span
from tests.harness.pipeline import Pipeline
from tests.harness.processes import ROOT, Child, python

RECORDING = ROOT / "tests" / "data" / "coinm-ethusd-excerpt.jsonl.gz"
LENGTHS = (1_000, 10_000, 60_000)
HOPPING = (Span(10_000, 1_000),)

pytestmark = pytest.mark.broker


Key = tuple[str, int, int, int]


def key(window: dict[str, Any]) -> Key:
    return window["channel"], window["length_ms"], window.get("hop_ms", 0), window["start_ms"]


@pytest.fixture(scope="module")
def computed() -> dict[Key, bytes]:
    rules = Rules(LENGTHS, 250, 3_000, HOPPING)
    return {key(w): encode_window(w) for w in compute(read_recording(RECORDING), rules)}


def published(records: list[Any]) -> dict[Key, bytes]:
    windows: dict[Key, bytes] = {}
    for record in records:
        where = key(json.loads(record.value))
        assert windows.setdefault(where, record.value) == record.value, "a repeat differs"
    return windows


def test_exchange_to_kafka_publishes_the_bytes_that_compute_prints(
    installation: Settings, computed: dict[Key, bytes]
) -> None:
    settings = {
        "book_interval": "raw",
        "client_id": "demo",
        "client_secret": "demo-secret",
        "hopping": "10s/1s",
    }
    with Pipeline(installation, **settings) as pipeline:
        pipeline.start_exchange("--recording", str(RECORDING), "--speed", "40", "--hold")
        pipeline.start_worker(1)
        records = pipeline.read(
            pipeline.topic("windows"), lambda found: len(found) >= len(computed), timeout_s=90
        )
        live = published(records)
    shared = live.keys() & computed.keys()
    assert len(shared) == len(computed) == 348
    assert [where for where in shared if live[where] != computed[where]] == []


def test_replay_publishes_the_bytes_that_compute_prints(
    installation: Settings, computed: dict[Key, bytes], tmp_path: Path
) -> None:
    with Pipeline(installation, ingest="false", hopping="10s/1s") as pipeline:
        worker = pipeline.start_worker(1)
        replay = Child(
            "replay",
            python("-m", "app", "replay", str(RECORDING)),
            {name: value for name, value in worker.env.items() if name.startswith("STEELYARD_")},
            tmp_path / "replay.log",
        ).start()
        assert replay.wait(60) == 0, replay.tail()
        records = pipeline.read(
            pipeline.topic("windows"), lambda found: len(found) >= len(computed), timeout_s=60
        )
        assert published(records) == computed
        assert worker.stop() == 0
