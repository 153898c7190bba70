"""Server-sent events are cut out of a stream, however it arrives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.cli.terminal import sse
from app.cli.terminal.sse import Event, Parser, TooLarge

STREAM = (
    b"retry: 1000\n\n"
    b'event: states\ndata: {"a":1}\n\n'
    b": a comment\n\n"
    b'id: 5f.2\nevent: windows\ndata: {"b":\ndata: 2}\n\n'
    b"data:bare\n\n"
    b"event: unfinished\ndata: {"
)
EVENTS = [
    Event("states", b'{"a":1}', None),
    Event("windows", b'{"b":\n2}', "5f.2"),
    Event("message", b"bare", None),
]


@settings(derandomize=True, deadline=None)
@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_whole_however_the_bytes_arrive(cuts: list[int]) -> None:
    parser, found, begin = Parser(), [], 0
    for cut in [*sorted(cuts), len(STREAM)]:
        found += parser.feed(STREAM[begin:cut])
        begin = cut
    assert found == EVENTS


def test_byte_by_byte() -> None:
    parser = Parser()
    assert [e for n in range(len(STREAM)) for e in parser.feed(STREAM[n : n + 1])] == EVENTS


def test_an_event_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    parser = Parser()
    parser.feed(b"data: " + b"x" * 90)
    with pytest.raises(TooLarge, match="longer than 100 bytes"):
        parser.feed(b"x" * 10)
