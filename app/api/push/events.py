"""What a client is sent: events as JSON objects, made once for all clients that are owed the same.

The shapes are described in docs/api.md and, as a schema, in models/answers.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from app.api.envelope import encode
from app.api.push.conflation import STATES, Message

HEARTBEAT: Final = "heartbeat"
WINDOWS: Final = "windows"
END: Final = "end"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its type, and its JSON with that type in it."""

    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that are sent together; `last_id` names what a client has seen after them."""

    events: tuple[Event, ...]
    last_id: str | None
    sse: bytes
    """All of them as server-sent events."""


def batch(events: Iterable[Event], last_id: str | None = None) -> Batch:
    """Return events with their text for SSE.

    Only the last one carries the id: a client that lost the connection between two of them must not
    take the others for received.
    """
    events = tuple(events)
    parts = []
    for number, event in enumerate(events, 1):
        if last_id is not None and number == len(events):
            parts.append(b"id: %b\n" % last_id.encode())
        parts.append(b"event: %b\ndata: %b\n\n" % (event.type.encode(), event.data))
    return Batch(events, last_id, b"".join(parts))


def events_of(
    messages: Iterable[Message], *, as_of_ms: int, worker: str, whole: bool
) -> list[Event]:
    """Return the events that carry these messages; `whole` if they are all that there is."""
    states: list[bytes] = []
    gone: list[str] = []
    windows: list[bytes] = []
    for message in messages:
        if message.key.channel != STATES:
            windows.append(message.payload or b"null")
        elif message.payload is not None:
            states.append(message.payload)
        elif not whole:
            gone.append(message.key.instrument)
    events = []
    if states or gone or whole:
        members = b'"whole":%b,"states":[%b],"gone":%b' % (
            b"true" if whole else b"false",
            b",".join(states),
            encode(gone),
        )
        events.append(_event(STATES, as_of_ms, worker, members))
    if windows:
        members = b'"windows":[%b]' % b",".join(windows)
        events.append(_event(WINDOWS, as_of_ms, worker, members))
    return events


def heartbeat(as_of_ms: int, worker: str) -> Event:
    """Return the event that says that there is nothing to say."""
    return _event(HEARTBEAT, as_of_ms, worker)


def end(as_of_ms: int, worker: str, reason: str, detail: str) -> Event:
    """Return the last event of a connection."""
    members = b'"reason":%b,"detail":%b' % (encode(reason), encode(detail))
    return _event(END, as_of_ms, worker, members)


def _event(type_: str, as_of_ms: int, worker: str, members: bytes = b"") -> Event:
    head = {"type": type_, "as_of_ms": as_of_ms, "worker": worker}
    data = encode(head)
    return Event(type_, data[:-1] + b"," + members + b"}" if members else data)
