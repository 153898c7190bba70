"""The book of a past instant is that of a plain second implementation, from whatever frames."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from app.__main__ import main
from app.recordings.book_at import BookAt, NoBook
from app.recordings.reader import read_recording
from app.recordings.to_frames import FrameWriter
from app.verify.plain_book import PlainBook
from models.frame import Frame

ETH = "ETH-PERPETUAL"
EXCERPT = Path(__file__).parents[1] / "data" / "coinm-ethusd-excerpt.jsonl.gz"
LINES = list(islice(read_recording(EXCERPT), 900))


def frames(items: int, lines: list[tuple[int, bytes]] = LINES) -> Iterator[list[Frame]]:
    writer = FrameWriter("recording", "recording", items=items)
    for received_ns, message in lines:
        yield writer.add(received_ns, message)
    yield writer.flush()


def found(items: int, lines: list[tuple[int, bytes]] = LINES, **instant: int) -> dict[str, Any]:
    wanted = BookAt(ETH, **instant)
    any(wanted.take(batch) for batch in frames(items, lines))
    return wanted.answer()


def plain_books() -> list[tuple[int, int, list[list[float]], list[list[float]]]]:
    """Return (timestamp, change_id, bids, asks) after each message of the book."""
    book, books = PlainBook(), []
    for _, line in LINES:
        params = json.loads(line)["params"]
        if params["channel"].startswith("book."):
            book.apply(params["data"])
            sides = [[[float(p), float(s)] for p, s in side] for side in book.sides()]
            stamp, change = params["data"]["timestamp"], params["data"]["change_id"]
            books.append((stamp, change, sides[0], sides[1]))
    return books


BOOKS = plain_books()


@pytest.mark.parametrize("items", [1, 200])
def test_the_book_is_that_of_the_last_message_until_then(items: int) -> None:
    rng = random.Random(5)
    stamps = [book[0] for book in BOOKS]
    for _ in range(12):
        at_ms = rng.randrange(stamps[0], stamps[-1])
        _, change_id, bids, asks = [book for book in BOOKS if book[0] <= at_ms][-1]
        answer = found(items, at_ms=at_ms)
        assert (answer["change_id"], answer["bids"], answer["asks"]) == (change_id, bids, asks)
        assert (answer["status"], answer["timestamp_ms"] <= at_ms) == ("live", True)


@pytest.mark.parametrize("items", [1, 200])
def test_the_book_after_a_change(items: int) -> None:
    _, change_id, bids, asks = BOOKS[321]
    answer = found(items, change_id=change_id)
    assert (answer["change_id"], answer["bids"], answer["asks"]) == (change_id, bids, asks)


def test_a_time_that_is_not_over_has_no_book_yet() -> None:
    last_ms = BOOKS[-1][0]
    with pytest.raises(NoBook, match=f"ends at {last_ms} ms"):
        found(1, at_ms=last_ms)
    with pytest.raises(NoBook, match="no snapshot of it came before"):
        found(1, at_ms=BOOKS[0][0] - 1)
    with pytest.raises(NoBook, match="was never at change 7"):
        found(1, change_id=7)


def test_a_book_that_a_lost_message_has_broken_says_so() -> None:
    hole = next(
        number for number, (_, line) in enumerate(LINES) if b"book." in line and number > 99
    )
    answer = found(1, LINES[:hole] + LINES[hole + 1 :], at_ms=BOOKS[-1][0] - 1)
    assert answer["status"] == "gap"


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    stamp, change_id, bids, _ = BOOKS[456]
    assert main(["book", ETH, str(EXCERPT), "--change-id", str(change_id), "--depth", "3"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["timestamp_ms"], answer["bids"], len(answer["asks"])) == (stamp, bids[:3], 3)
    assert main(["book", ETH, str(EXCERPT), "--at", "2024-08-08T00:00:00Z"]) == 1
    assert "no snapshot of it came before" in " ".join(capsys.readouterr().err.split())
    for wrong in (["--at", "noon"], [], ["--at", "1", "--change-id", "1"]):
        assert main(["book", ETH, str(EXCERPT), *wrong]) == 2
