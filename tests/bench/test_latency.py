"""From what was seen to latencies, and to the time that is counted."""

from __future__ import annotations

import json
from typing import Any

from bench.latency import Seen, latencies, percentiles
from bench.pipeline import Output
from bench.replay import is_counted
from models.frame import FRAME_VERSION, Frame, Notification, encode_frame
from models.window import encode_window

NAME = "B0-PERPETUAL"
SECOND_NS = 1_000_000_000
END_MS = 1_700_000_001_000


def heard(*times: tuple[int, int]) -> bytes:
    """A frame of notifications: (venue time in ms, receive time in ns)."""
    items = [
        Notification(
            received_ns,
            json.dumps(
                {"params": {"channel": f"book.{NAME}.100ms", "data": {"timestamp": at_ms}}}
            ).encode(),
        )
        for at_ms, received_ns in times
    ]
    return encode_frame(Frame(FRAME_VERSION, NAME, f"book.{NAME}.100ms", "s", 1, items))


def window(**fields: Any) -> dict[str, Any]:
    return {
        "instrument": NAME,
        "length_ms": 1_000,
        "end_ms": END_MS,
        "observations": 3,
        "trades": 0,
        **fields,
    }


def test_latency_is_from_the_notification_that_closes_the_window() -> None:
    closing_ns = (END_MS + 260) * 1_000_000
    feed = heard(
        (END_MS - 10, closing_ns - SECOND_NS),
        (END_MS + 249, closing_ns - 50_000_000),
        (END_MS + 250, closing_ns),
        (END_MS + 900, closing_ns + SECOND_NS),
    )
    arrived = closing_ns + 7_000_000
    pushed = json.dumps({"type": "windows", "windows": [window()]}).encode()
    seen = Seen([feed], [(arrived, json.dumps(window()).encode())], [(arrived + 2_000_000, pushed)])
    found = latencies(seen, 2.0)
    assert found["socket_to_window_ms"] == {"count": 1, "p50": 7.0, "p99": 7.0, "max": 7.0}
    assert found["socket_to_push_ms"]["p50"] == 9.0
    assert found["beyond_end_ms"]["p50"] == 267.0
    assert found["notifications_per_s"] == 2.0


def test_a_window_whose_closing_was_not_seen_has_no_latency() -> None:
    feed = heard((END_MS + 300, END_MS * 1_000_000))
    seen = Seen([feed], [((END_MS + 400) * 1_000_000, json.dumps(window()).encode())])
    assert latencies(seen, 1.0)["socket_to_window_ms"]["count"] == 0


def test_percentiles() -> None:
    found = percentiles([float(number) for number in range(100, 0, -1)])
    assert found == {"count": 100, "p50": 51.0, "p99": 100.0, "max": 100.0}


def test_what_was_there_at_the_first_look_is_not_timed() -> None:
    output = Output(marks=[(10.0, 20), (11.0, 60), (14.0, 100)])
    assert output.timed() == (4.0, 0.8)


def test_an_empty_window_is_not_waited_for() -> None:
    assert is_counted(encode_window(window()))
    assert not is_counted(encode_window(window(observations=0)))
    assert not is_counted(encode_window(window(length_ms=10_000)))
