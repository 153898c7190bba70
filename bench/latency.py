"""How long after it could be known a window was there.

A window of an instrument can close when the first notification arrives whose time is past the
window's end and the grace that trades have. `socket_to_window_ms` is the time from the receipt of
that notification, by the worker's own stamp, to the window's record in a consumer's hands;
`socket_to_push_ms` the same to the event of `/v1/stream`. `beyond_end_ms` is the record's time
minus the end of the window: the grace and the wait for that notification are in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from models.frame import Frame, Notification, decode_frame

WINDOW_MS: Final = 1_000
GRACE_MS: Final = 250
"""The setting `trade_grace_ms` as it is by default."""

Arrival = tuple[int, dict[str, Any]]
"""When a window came, ns since the epoch, and the window."""


class _Data(msgspec.Struct):
    timestamp: int


class _Params(msgspec.Struct):
    channel: str
    data: msgspec.Raw


class _Message(msgspec.Struct):
    params: _Params


_message = msgspec.json.Decoder(_Message)
_data = msgspec.json.Decoder(_Data)


@dataclass(slots=True)
class Seen:
    """What the consumers were given, undecoded: decoding comes when the measurement is over."""

    feed: list[bytes] = field(default_factory=list)
    windows: list[tuple[int, bytes]] = field(default_factory=list)
    pushed: list[tuple[int, bytes]] = field(default_factory=list)
    """Events of the stream."""


def latencies(seen: Seen, seconds: float) -> dict[str, Any]:
    """Return rates and latencies of what was seen within so many seconds."""
    frames = [decode_frame(value) for value in seen.feed]
    heard = _heard(frames)
    messages = sum(type(item) is Notification for frame in frames for item in frame.items)
    windows = [(at_ns, json.loads(value)) for at_ns, value in seen.windows]
    pushed = list(_pushed(seen.pushed))
    notifications = sum(len(times) for times in heard.values())
    return {
        "notifications_per_s": round(notifications / seconds, 1),
        "messages_per_s": round(messages / seconds, 1),
        "frames_per_s": round(len(seen.feed) / seconds, 1),
        "socket_to_window_ms": percentiles(_after_socket(windows, heard)),
        "socket_to_push_ms": percentiles(_after_socket(pushed, heard)),
        "beyond_end_ms": percentiles(
            [at_ns / 1e6 - window["end_ms"] for at_ns, window in windows if _counts(window)]
        ),
    }


def percentiles(values: Sequence[float]) -> dict[str, float | int | None]:
    """Return count, p50, p99 and max."""
    if not values:
        return {"count": 0, "p50": None, "p99": None, "max": None}
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)

    return {"count": len(ordered), "p50": at(0.5), "p99": at(0.99), "max": round(ordered[-1], 2)}


def _heard(frames: Sequence[Frame]) -> dict[str, list[tuple[int, int]]]:
    """Return (venue time in ms, receive time in ns) of the book's changes, by instrument."""
    heard: dict[str, list[tuple[int, int]]] = {}
    for frame in frames:
        for item in frame.items:
            if isinstance(item, Notification):
                params = _message.decode(item.message).params
                if params.channel.startswith("book."):
                    at_ms = _data.decode(params.data).timestamp
                    heard.setdefault(frame.instrument, []).append((at_ms, item.received_ns))
    return heard


def _after_socket(
    arrivals: Sequence[Arrival], heard: dict[str, list[tuple[int, int]]]
) -> list[float]:
    """Return the ms from what closed each window to its arrival.

    Left out are windows that were closed by a tick, and those whose closing was not seen here.
    """
    found = []
    for at_ns, window in arrivals:
        times = heard.get(window["instrument"], [])
        closes_ms = window["end_ms"] + GRACE_MS
        if not _counts(window) or not times or times[0][0] >= closes_ms:
            continue
        closing_ns = next((received for at_ms, received in times if at_ms >= closes_ms), None)
        if closing_ns is not None and closing_ns <= at_ns:
            found.append((at_ns - closing_ns) / 1e6)
    return found


def _pushed(events: Sequence[tuple[int, bytes]]) -> Iterator[Arrival]:
    for at_ns, data in events:
        event = json.loads(data)
        if event["type"] == "windows":
            for window in event["windows"]:
                yield at_ns, window


def _counts(window: dict[str, Any]) -> bool:
    return bool(window["length_ms"] == WINDOW_MS and window["observations"])
