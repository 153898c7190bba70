"""The inbox: a bounded queue of stamped events between the socket and who consumes them.

What does not fit is not put in; the caller says what became of it. Marks always fit: there are few,
and without them the reader would not know what is missing.
"""

from __future__ import annotations

import asyncio
from collections import deque

from deribit.events import Event

Stamped = tuple[int, Event]
"""The receive time, ns since the epoch, and what happened."""


class EventQueue:
    """Events in order, with the bytes of their messages counted."""

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._events: deque[Stamped] = deque()
        self._bytes = 0
        self._has_events = asyncio.Event()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._events)

    @property
    def oldest_ns(self) -> int | None:
        """Return when the first event was received; None if there is none."""
        return self._events[0][0] if self._events else None

    def offer(self, received_ns: int, event: Event, size: int) -> bool:
        """Append an event that holds so many bytes, if it fits; answer whether it did."""
        total_bytes = self._bytes + size
        if len(self._events) >= self._max_messages or total_bytes > self._max_bytes:
            return False
        self._events.append((received_ns, event))
        self._bytes = total_bytes
        self._has_events.set()
        return True

    def put(self, received_ns: int, event: Event) -> None:
        """Append an event, also if the inbox is full."""
        self._events.append((received_ns, event))
        self._has_events.set()

    def take(self) -> list[Stamped]:
        """Return all there is."""
        events = list(self._events)
        self._events.clear()
        self._bytes = 0
        return events

    async def wait(self) -> None:
        """Wait until there is something, or nothing will come any more."""
        while not self._events and not self._is_closed:
            self._has_events.clear()
            await self._has_events.wait()

    def close(self) -> None:
        """Nothing more will come; what is there can still be taken."""
        self._is_closed = True
        self._has_events.set()
