"""Lines of recordings, made by hand and at random."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import strategies as st

from app.recordings.compression import Compression
from app.recordings.segments import Line, Segments

VENUE = "ws://127.0.0.1:1/ws/api/v2"
BOOK = "book.BTC-PERPETUAL.100ms"
HOUR_NS = 3_600 * 10**9
START_NS = 1_795_399_200 * 10**9
"""The beginning of an hour of UTC."""

messages = st.binary(min_size=1).filter(lambda raw: b"\n" not in raw and b"\r" not in raw)
"""Anything that can be a line: also what is no JSON, and text that is not UTF-8."""
steps_ns = st.integers(0, 2 * HOUR_NS)


@st.composite
def line_lists(draw: st.DrawFn) -> list[Line]:
    """Return lines with receive times that do not decrease."""
    now_ns, lines = START_NS, []
    for step, raw in draw(st.lists(st.tuples(steps_ns, messages), min_size=1, max_size=40)):
        now_ns += step
        lines.append((now_ns, raw))
    return lines


def book(change_id: int, previous: int | None = None, channel: str = BOOK) -> bytes:
    """Return a book message: a snapshot, or a change that follows `previous`."""
    data: dict[str, object] = {"type": "snapshot", "change_id": change_id, "bids": [], "asks": []}
    if previous is not None:
        data |= {"type": "change", "prev_change_id": previous}
    return notification(channel, data)


def notification(channel: str, data: object) -> bytes:
    """Return a notification of a channel."""
    params = {"channel": channel, "data": data}
    message = {"jsonrpc": "2.0", "method": "subscription", "params": params}
    return json.dumps(message, separators=(",", ":")).encode()


def chain(count: int, first: int = 10) -> list[bytes]:
    """Return a snapshot and the changes that follow it."""
    changes = [book(number + 1, number) for number in range(first, first + count - 1)]
    return [book(first), *changes]


def each_second(raws: list[bytes], start_ns: int = START_NS) -> list[Line]:
    """Return messages as lines, a second apart."""
    return [(start_ns + number * 10**9, raw) for number, raw in enumerate(raws)]


def written(folder: Path, lines: list[Line], **options: object) -> Segments:
    """Write lines into a folder as one recorder would, from start to end."""
    segments = Segments(folder, venue=VENUE, **options)  # type: ignore[arg-type]
    segments.append(lines)
    segments.close()
    return segments


ALL_COMPRESSIONS = list(Compression)
