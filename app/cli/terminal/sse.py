"""Server-sent events, without I/O: bytes in as they arrive, whole events out."""

from __future__ import annotations

from typing import Final, NamedTuple

MAX_EVENT_BYTES: Final = 32 * 1024 * 1024
"""Five hundred instruments with all their fields are under 1 MB."""


class TooLarge(ValueError):
    """An event does not end."""


class Event(NamedTuple):
    """One event of a stream."""

    type: str
    data: bytes
    id: str | None
    """What to resume after; None if the event has none."""


class Parser:
    """Cuts a stream into events; comments and what has no data are passed over."""

    def __init__(self) -> None:
        self._unread = bytearray()

    def feed(self, chunk: bytes) -> list[Event]:
        """Take what has arrived; return the events that it completes."""
        # The end of an event may be cut between its two line feeds: look one byte back.
        seen = max(0, len(self._unread) - 1)
        self._unread += chunk
        events = []
        begin = 0
        while (end := self._unread.find(b"\n\n", max(begin, seen))) >= 0:
            if (event := _event(bytes(self._unread[begin:end]))) is not None:
                events.append(event)
            begin = end + 2
        del self._unread[:begin]
        if len(self._unread) > MAX_EVENT_BYTES:
            raise TooLarge(f"an event is longer than {MAX_EVENT_BYTES} bytes")
        return events


def _event(block: bytes) -> Event | None:
    type_, data, id_ = "message", [], None
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"event":
                type_ = value.decode()
            case b"data":
                data.append(value)
            case b"id":
                id_ = value.decode()
    return Event(type_, b"\n".join(data), id_) if data else None
