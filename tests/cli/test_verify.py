"""`verify`: exit 0 where all is equal, 1 where a book differs, 2 where none can be compared."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from app.__main__ import main
from app.settings import Settings
from app.topics.admin import ensure_topics
from app.topics.partitioner import partition_of
from app.verify.venue_books import ATTEMPTS, SHARE, desk
from tests.system.chaos.hand import NAME, Session, change, produce_frames, snapshot

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


def test_a_feed_read_since_a_time_has_no_book_from_before(
    fed: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.verify.live.ROUND_TIMEOUT_S", 0.2)
    with worker(BIDS, ASKS, 3) as url:
        assert main(["verify", "--url", url, "--json", "--since", "1h"]) == 0
        assert verdict(capsys)["status"] == "equal"
        time.sleep(1.1)  # by Kafka's clock, which dates what it takes
        assert main(["verify", "--url", url, "--json", "--since", "1s"]) == 2
        assert verdict(capsys)["status"] == "no snapshot"
        assert main(["verify", "--url", url, "--since", "soon"]) == 2
    assert "'soon' is not a duration" in capsys.readouterr().err


@contextmanager
def venue(answers: Callable[[int], dict[str, Any]]) -> Iterator[tuple[str, list[float]]]:
    """A venue that answers the n-th question so, notes when, and hangs up after an error."""
    asked: list[float] = []

    def talk(socket: ServerConnection) -> None:
        for text in socket:
            asked.append(time.monotonic())
            answer = answers(len(asked))
            socket.send(json.dumps({"id": json.loads(text)["id"], **answer}))
            if "error" in answer:
                return

    with serve(talk, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws/api/v2", asked
        finally:
            server.shutdown()
            thread.join()


TOO_MANY = {"error": {"code": 10028, "message": "too_many_requests"}}


def test_a_venue_that_refuses_for_a_while_is_asked_again(
    fed: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.verify.venue_books.REFUSED_WAIT_S", 0.05)
    book = {"result": {"bids": BIDS, "asks": ASKS, "change_id": 3}}
    with (
        worker(BIDS, ASKS, 3) as url,
        venue(lambda n: book if n > 2 else TOO_MANY) as (there, asked),
    ):
        monkeypatch.setenv("STEELYARD_VENUE_URL", there)
        assert main(["verify", "--venue", "--url", url, "--json"]) == 0
    statuses = [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()]
    assert statuses == ["equal", "equal"]
    assert len(asked) == 3


def test_a_venue_that_goes_on_refusing_is_not_a_difference(
    fed: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.verify.venue_books.REFUSED_WAIT_S", 0.01)
    with worker(BIDS, ASKS, 3) as url, venue(lambda _: TOO_MANY) as (there, asked):
        monkeypatch.setenv("STEELYARD_VENUE_URL", there)
        assert main(["verify", "--venue", "--url", url]) == 2
    told = capsys.readouterr().err
    assert f"{NAME} (venue: refused: too_many_requests (10028))" in told
    assert "cannot be compared" in told
    assert "differ" not in told
    assert len(asked) == ATTEMPTS


async def test_many_books_are_asked_for_within_the_credits_of_the_venue() -> None:
    book = {"result": {"bids": [], "asks": [], "change_id": 1}}
    with venue(lambda _: book) as (there, asked):
        async with desk(there) as questions:
            assert questions is not None
            await asyncio.gather(*(questions(f"I{number}-PERPETUAL") for number in range(35)))
    took_s = asked[-1] - asked[0]
    # A call costs 500 of 50,000 credits, of which 10,000 a second come back; a quarter is ours.
    pool = SHARE * 50_000
    assert len(asked) * 500 <= pool + SHARE * 10_000 * took_s + 500


def test_the_venue_does_not_answer(
    fed: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_VENUE_URL", "ws://127.0.0.1:9/ws/api/v2")
    with worker(BIDS, ASKS, 3) as url:
        assert main(["verify", "--venue", "--url", url]) == 2
    assert "the venue at ws://127.0.0.1:9/ws/api/v2" in capsys.readouterr().err
