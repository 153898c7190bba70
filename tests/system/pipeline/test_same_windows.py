"""One path: what is computed live, replayed or from a file has the same bytes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.processing.processor import Rules
from app.recordings.compute import compute
from app.recordings.marks import ConnectedMark, SubscribedMark, encode_mark
from app.recordings.reader import read_recording
from app.settings import Settings
from models.window import encode_window
from orderbook.windows.span import Span
from tests.harness.pipeline import Pipeline
from tests.harness.processes import ROOT, Child, python
from tests.recordings.made import notification

EXCERPT = ROOT / "tests" / "data" / "coinm-ethusd-excerpt.jsonl.gz"
NAME = "ETH-PERPETUAL"
LENGTHS = (1_000, 10_000, 60_000)
HOPPING = (Span(10_000, 1_000),)

pytestmark = pytest.mark.broker


Key = tuple[str, int, int, int]


def key(window: dict[str, Any]) -> Key:
    return window["channel"], window["length_ms"], window.get("hop_ms", 0), window["start_ms"]


def before_the_book(first_ns: int, first_sequence: int) -> list[bytes]:
    """Return lines of what the venue may say before its first book: figures, and a lost trade."""
    at_ms = first_ns // 1_000_000 - 20
    figures = {"mark_price": 2_600.5, "index_price": 2_601.0, "open_interest": 1e6}
    ticker = {"timestamp": at_ms, "instrument_name": NAME, "state": "open"} | figures
    trade = {"timestamp": at_ms, "instrument_name": NAME, "direction": "buy", "price": 2_600.5}
    trade |= {"amount": 10.0, "trade_seq": first_sequence - 4, "trade_id": "before"}
    channels = [f"book.{NAME}.raw", f"trades.{NAME}.raw"]
    raws = [
        encode_mark(ConnectedMark(True, "simulated")),
        encode_mark(SubscribedMark(channels)),
        notification(f"ticker.{NAME}.raw", ticker),
        notification(f"trades.{NAME}.raw", [trade]),
    ]
    return [b"%d %b\n" % (first_ns - 10_000_000 + n, raw) for n, raw in enumerate(raws)]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real recording, before which the venue has said what it may say before a book."""
    lines = list(read_recording(EXCERPT))
    trades = next(json.loads(m)["params"]["data"] for _, m in lines if b'"trades.' in m)
    path = tmp_path_factory.mktemp("recording") / "ticker-first.jsonl"
    with path.open("wb") as file:
        file.writelines(before_the_book(lines[0][0], trades[0]["trade_seq"]))
        file.writelines(b"%d %b\n" % line for line in lines)
    return path


@pytest.fixture(scope="module")
def computed(recording: Path) -> dict[Key, bytes]:
    rules = Rules(LENGTHS, 250, 3_000, HOPPING)
    windows = list(compute(read_recording(recording), rules))
    assert windows[0]["mark_price"] == 2_600.5
    assert sum(w["trade_gaps"] for w in windows if w["length_ms"] == LENGTHS[0]) == 1
    return {key(w): encode_window(w) for w in windows}


def published(records: list[Any]) -> dict[Key, bytes]:
    windows: dict[Key, bytes] = {}
    for record in records:
        where = key(json.loads(record.value))
        assert windows.setdefault(where, record.value) == record.value, "a repeat differs"
    return windows


def test_exchange_to_kafka_publishes_the_bytes_that_compute_prints(
    installation: Settings, recording: Path, computed: dict[Key, bytes]
) -> None:
    settings = {
        "book_interval": "raw",
        "client_id": "demo",
        "client_secret": "demo-secret",
        "hopping": "10s/1s",
    }
    with Pipeline(installation, **settings) as pipeline:
        pipeline.start_exchange("--recording", str(recording), "--speed", "40", "--hold")
        pipeline.start_worker(1)
        records = pipeline.read(
            pipeline.topic("windows"), lambda found: len(found) >= len(computed), timeout_s=90
        )
        live = published(records)
    shared = live.keys() & computed.keys()
    assert len(shared) == len(computed) == 348
    assert [where for where in shared if live[where] != computed[where]] == []


def test_replay_publishes_the_bytes_that_compute_prints(
    installation: Settings, recording: Path, computed: dict[Key, bytes], tmp_path: Path
) -> None:
    with Pipeline(installation, ingest="false", hopping="10s/1s") as pipeline:
        worker = pipeline.start_worker(1)
        replay = Child(
            "replay",
            python("-m", "app", "replay", str(recording)),
            {name: value for name, value in worker.env.items() if name.startswith("STEELYARD_")},
            tmp_path / "replay.log",
        ).start()
        assert replay.wait(60) == 0, replay.tail()
        records = pipeline.read(
            pipeline.topic("windows"), lambda found: len(found) >= len(computed), timeout_s=60
        )
        assert published(records) == computed
        asked = python(
            "-m", "app", "book", NAME, *("--at", "2024-08-08T23:55:00Z", "--depth", "20")
        )
        from_feed = subprocess.run(asked, env=worker.env, capture_output=True, timeout=60)
        asked.insert(asked.index(NAME) + 1, str(recording))
        assert from_feed.returncode == 0, from_feed.stderr
        assert from_feed.stdout == subprocess.check_output(asked, timeout=60)
        assert worker.stop() == 0
