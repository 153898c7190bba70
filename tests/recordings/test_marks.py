"""A gap mark in a recording is the gap that ingest would have put into the feed."""

from __future__ import annotations

from typing import Any

from app.processing.processor import Rules
from app.recordings.compute import compute
from app.recordings.marks import GapMark, encode_mark
from app.recordings.segments import Line
from app.recordings.to_frames import FrameWriter
from models.frame import Connected, Disconnected, GapFound, Notification
from tests.recordings.made import notification

NAME = "ETH-PERPETUAL"
BOOK = f"book.{NAME}.raw"
RULES = Rules((1_000,), 250, 3_000)
MARK = encode_mark(GapMark(BOOK, 5, None))
START_MS = 1_795_399_200_000


def book(step: int, previous: int | None = None) -> Line:
    """Return the book of one step, 100 ms after the one before: a snapshot, or a change.

    A snapshot repeats the book before it; one that differs would be a gap by itself.
    """
    at_ms = START_MS + 100 * step
    size = 10.0 + step - (previous is None)
    data: dict[str, Any] = {
        "type": "snapshot",
        "timestamp": at_ms,
        "change_id": step + 1,
        "instrument_name": NAME,
        "bids": [["new", 100.0, size]],
        "asks": [["new", 101.0, 20.0]],
    }
    if previous is not None:
        data |= {"type": "change", "prev_change_id": previous, "asks": []}
        data["bids"] = [["change", 100.0, size]]
    return at_ms * 1_000_000, notification(BOOK, data)


def lines(marked_at: int | None, mark: bytes = MARK) -> list[Line]:
    """Return six seconds of a book; the mark, if any, is followed by a snapshot."""
    found = []
    for step in range(60):
        if step == marked_at:
            found.append((book(step)[0], mark))
        is_snapshot = step in (0, 25)
        found.append(book(step, None if is_snapshot else step))
    return found


def test_compute_breaks_the_book_at_the_mark() -> None:
    whole = list(compute(lines(None), RULES))
    assert {(window["status"], window["gaps"]) for window in whole[1:]} == {("complete", 0)}
    broken = list(compute(lines(25), RULES))
    assert [window["gaps"] for window in broken] == [0, 0, 1, 0, 0]
    assert broken[2]["status"] == "gap"
    other = encode_mark(GapMark("book.BTC-PERPETUAL.raw", 5, None))
    assert list(compute(lines(25, other), RULES)) == whole


def test_replay_puts_the_mark_where_it_was() -> None:
    writer = FrameWriter("replay", "replay")
    at_ns = book(2)[0]
    given = [book(0), book(1, 1), (at_ns, MARK), book(2), (at_ns + 9, b"null")]
    frames = [frame for line in given for frame in writer.add(*line)]
    frames += writer.flush()
    items = [item for frame in frames for item in frame.items]
    assert [type(item) for item in items] == [
        Connected,
        Notification,
        Notification,
        GapFound,
        Notification,
        Disconnected,
    ]
    assert items[3] == GapFound(at_ns, BOOK, 5, None)
