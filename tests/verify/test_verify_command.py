"""`verify`: exit 0 where all is equal, 1 where a book differs, 2 where none can be compared."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from app.__main__ import main
from app.partitions import partition_of
from app.settings import Settings
from app.topics import ensure_topics
from tests.chaos.hand import NAME, Session, change, produce_frames, snapshot

pytestmark = pytest.mark.timeout(90)

BIDS, ASKS = [[99.5, 5.0]], [[100.5, 20.0], [101.0, 5.0]]


@contextmanager
def worker(bids: list[Any] | None, asks: list[Any] | None, change_id: int) -> Iterator[str]:
    """A worker's views that always answer the same book."""
    book = {
        "instrument": NAME,
        "bids": bids,
        "asks": asks,
        "bid_levels": bids and len(bids),
        "ask_levels": asks and len(asks),
    }

    class Views(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = [{"instrument": NAME}] if "imbalance" in self.path else book
            body = json.dumps({"ok": True, "data": data, "meta": {"change_id": change_id}})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Views)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def fed(installation: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation whose feed has a book as of change 3."""
    asyncio.run(ensure_topics(installation))
    session = Session("s")
    frames = [
        session.frame(snapshot(1, 1), at=1, connects=True),
        session.frame(change(2, 1, 4.0, 2), change(2, 1, 9.0, 2), at=2),  # a repeat does nothing
        session.frame(change(3, 2, 5.0, 3), at=3),
    ]
    partition = partition_of(NAME, installation.partitions)
    feed = f"{installation.topic_prefix}feed"
    asyncio.run(produce_frames(installation.kafka, feed, frames, partition))
    for name in ("kafka", "installation", "data_dir", "partitions"):
        monkeypatch.setenv(f"STEELYARD_{name.upper()}", str(getattr(installation, name)))
    return installation


def verdict(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_an_equal_book(fed: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with worker(BIDS, ASKS, 3) as url:
        assert main(["verify", "--url", url, "--json"]) == 0
    assert verdict(capsys) == {
        "instrument": NAME,
        "party": "system",
        "status": "equal",
        "change_id": 3,
        "levels": 3,
        "differences": [],
    }


def test_frames_in_another_partition_are_refused_and_said(
    fed: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    other = 1 - partition_of(NAME, 2)
    strays = [Session("t").frame(snapshot(3, 4), at=4, connects=True)]  # another book of change 3
    asyncio.run(produce_frames(fed.kafka, f"{fed.topic_prefix}feed", strays, other))
    with worker(BIDS, ASKS, 3) as url:
        assert main(["verify", "--url", url, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["status"] == "equal"
    assert "a partition that is not their instrument's: 1;" in captured.err


def test_a_book_that_differs(fed: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with worker([[99.5, 9.0]], ASKS[:1], 3) as url:
        assert main(["verify", "--url", url, "--json"]) == 1
    found = verdict(capsys)
    assert found["status"] == "different"
    assert found["differences"] == [
        "bid 99.5: 9.0, replayed 5.0",
        "ask 101.0: None, replayed 5.0",
    ]


def test_a_change_that_the_feed_does_not_have(
    fed: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.verify.live.ROUND_TIMEOUT_S", 0.2)
    with worker(BIDS, ASKS, 7) as url:
        assert main(["verify", "--url", url, "--json"]) == 2
    assert verdict(capsys)["status"] == "never met"


def test_no_book_yet(
    fed: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.verify.live.ROUND_TIMEOUT_S", 0.2)
    with worker(None, None, 3) as url:
        assert main(["verify", "--url", url, "--json"]) == 2
    assert verdict(capsys)["status"] == "no book"


def test_no_worker(fed: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--url", "http://127.0.0.1:9"]) == 2
    assert "no worker answers at http://127.0.0.1:9" in capsys.readouterr().err


def test_no_feed(
    installation: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_KAFKA", installation.kafka)
    monkeypatch.setenv("STEELYARD_INSTALLATION", "nobody-has-this")
    with worker(BIDS, ASKS, 3) as url:
        assert main(["verify", "--url", url]) == 2
    assert "there is no topic nobody-has-this-feed" in capsys.readouterr().err


def test_the_venue_does_not_answer(
    fed: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_VENUE_URL", "ws://127.0.0.1:9/ws/api/v2")
    with worker(BIDS, ASKS, 3) as url:
        assert main(["verify", "--venue", "--url", url]) == 2
    assert "the venue at ws://127.0.0.1:9/ws/api/v2" in capsys.readouterr().err
