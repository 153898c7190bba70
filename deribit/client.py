"""The client: a thin shell that moves bytes between a websocket and sessions of the protocol.

Messages are stamped and handed to the session as they are read, and never wait for who consumes: a
heartbeat is answered even when nobody takes the events. A task sends, and calls `tick` when the
session asks.
Events wait in a bounded queue; when it is full, the notification is dropped, its channel marked and
the book restarted later, so the venue never finds a slow reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from websockets.exceptions import ConnectionClosed

from deribit.auth import Credentials
from deribit.backoff import Attempts, Backoff
from deribit.event_queue import EventQueue, Stamped
from deribit.events import (
    Connected,
    Disconnected,
    Event,
    Failed,
    Fatal,
    Notification,
    Reconnect,
    Tick,
    Unreadable,
)
from deribit.frame_reader import FastConnection
from deribit.limits import Limits
from deribit.market_data import Dropped
from deribit.protocol import Session
from deribit.requests import REQUEST_TIMEOUT_S
from deribit.socket import NOT_OPENED, open_socket, why_closed, why_not_opened
from deribit.steady_clock import clock
from deribit.vocabulary import Ending

__all__ = ["Client", "ClientCounts", "Stamped"]

OPEN_TIMEOUT_S: Final = 10.0
QUEUE_MAX_MESSAGES: Final = 20_000
"""Five seconds of all perpetuals at five times their measured peak, trades and tickers included."""
QUEUE_MAX_BYTES: Final = 32 * 1024 * 1024
SEND_TIMEOUT_S: Final = 10.0


@dataclass(slots=True)
class ClientCounts:
    """Counts what a client has seen, over all of its sessions."""

    messages: int = 0
    bytes: int = 0
    overflowed: int = 0
    """Notifications dropped because the queue was full."""
    unreadable: int = 0
    dropped: Dropped = field(default_factory=Dropped)
    disconnects: Counter[str] = field(default_factory=Counter)
    """Sessions that ended and attempts that failed, by reason."""


class Client:
    """Keeps one session with the venue open, and its events in a queue."""

    def __init__(
        self,
        url: str,
        worker: str,
        *,
        credentials: Credentials | None = None,
        backoff: Backoff | None = None,
        limits: Limits | None = None,
        counts: ClientCounts | None = None,
        lists_instruments: bool = True,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        rng: random.Random | None = None,
        queue_max_messages: int = QUEUE_MAX_MESSAGES,
        queue_max_bytes: int = QUEUE_MAX_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
        time_ns: Callable[[], int] = clock.time_ns,
    ) -> None:
        self.counts = counts if counts is not None else ClientCounts()
        self._url = url
        self._name = f"{worker}-{time_ns():x}"
        self._credentials = credentials
        self._backoff = backoff if backoff is not None else Backoff()
        self._limits = limits if limits is not None else Limits()
        self._lists_instruments = lists_instruments
        self._request_timeout_s = request_timeout_s
        self._rng = rng if rng is not None else random.Random()
        self._now = monotonic
        self.time_ns = time_ns
        self._channels: tuple[str, ...] = ()
        self._sessions = 0
        self._session: Session | None = None
        self._socket: FastConnection | None = None
        self._healthy_since: float | None = None
        self._healthy_until = 0.0
        self._ended: Reconnect | Fatal | None = None
        self._inbox = EventQueue(queue_max_messages, queue_max_bytes)
        self._is_due = asyncio.Event()
        self._sleeps_until = -math.inf
        self._opening: asyncio.Timeout | None = None
        self._closing = asyncio.Event()

    async def run(self) -> None:
        """Connect, and connect again, until `close` is called or the venue refuses for good."""
        attempts = Attempts(self._backoff, self._rng)
        try:
            while not self._closing.is_set():
                ended = await self._connect_once()
                if isinstance(ended, Fatal):
                    self._put(ended)
                    return
                self.counts.disconnects[ended.reason] += 1
                if not self._closing.is_set():
                    wait_s = attempts.failed(self._healthy_s(), ended.least_wait_s)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._closing.wait(), wait_s)
        finally:
            self._inbox.close()

    async def receive(self) -> list[Stamped]:
        """Wait for events and return all there are; an empty list when there will be no more."""
        await self._inbox.wait()
        return self.take()

    def take(self) -> list[Stamped]:
        """Return the events that there are."""
        events = self._inbox.take()
        if self._session is not None:
            self._session.relieved(self._now())
            self._wake(self._session)
        return events

    @property
    def waiting(self) -> int:
        """Return how many events nobody has taken yet."""
        return len(self._inbox)

    @property
    def waiting_since_ns(self) -> int | None:
        """Return when the first of them was received; None if there is none."""
        return self._inbox.oldest_ns

    def want(self, channels: Iterable[str]) -> None:
        """Make these the wanted channels, in this session and all later ones."""
        wanted = tuple(channels)
        if self._session is not None:
            self._session.want(wanted, self._now())
            self._wake(self._session)
        self._channels = wanted

    def resync(self, channel: str) -> None:
        """Ask the venue for a new snapshot of a book."""
        if self._session is not None:
            now = self._now()
            self._deliver(self._session.resync(channel, now), self._session, now)
            self._wake(self._session)

    async def close(self) -> None:
        """End the session, and `run`; what was received stays in the queue."""
        self._closing.set()
        if self._opening is not None:
            self._opening.reschedule(asyncio.get_running_loop().time())
        if self._socket is not None:
            await self._socket.close()

    # One connection

    async def _connect_once(self) -> Reconnect | Fatal:
        self._healthy_since = None
        self._ended = None
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S) as self._opening:
                self._socket = await open_socket(self._url)
        except NOT_OPENED as error:
            ended = self._unless_stopped(why_not_opened(self._url, error))
            self._put(Disconnected(ended.reason, ended.detail))
            return ended
        finally:
            self._opening = None
        try:
            if self._closing.is_set():  # in the turn of the loop in which the socket was opened
                await self._socket.close()
            return await self._converse(self._socket)
        finally:
            self._socket = None

    async def _converse(self, socket: FastConnection) -> Reconnect | Fatal:
        """Run one session on an open socket, to its end."""
        session = Session(
            self._channels,
            credentials=self._credentials,
            rng=self._rng,
            backoff=self._backoff,
            dropped=self.counts.dropped,
            limits=self._limits,
            lists_instruments=self._lists_instruments,
            request_timeout_s=self._request_timeout_s,
        )
        self._session, self._sessions = session, self._sessions + 1
        try:
            session.opened(self._now())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(socket, session))
                tasks.create_task(self._drive(socket, session))
            assert self._ended is not None
            return self._ended
        finally:
            self._session = None
            match self._ended:
                case Reconnect(reason, detail):
                    self._put(Disconnected(reason, detail))
                case Fatal(detail):
                    self._put(Disconnected("fatal", detail))
                case None:
                    self._put(Disconnected("cancelled", "the client was cancelled"))

    async def _listen(self, socket: FastConnection, session: Session) -> None:
        """Hand to the session what arrives, until the connection ends; then make that known."""
        try:
            socket.listen(lambda messages: self._received(messages, session))
            closed = await socket.end()
            if self._ended is None:
                self._ended = self._unless_stopped(why_closed(closed))
        finally:
            self._is_due.set()
            await socket.close()

    def _received(self, messages: list[bytes], session: Session) -> None:
        if session is not self._session:
            return  # its end has been told: it was cancelled while it was being closed
        counts, now = self.counts, self._now()
        for raw in messages:
            counts.messages += 1
            counts.bytes += len(raw)
            self._deliver(session.received(raw, now), session, now)
        if session.is_over:
            self._is_due.set()
        self._wake(session)

    async def _drive(self, socket: FastConnection, session: Session) -> None:
        """Send what there is to send, and call `tick` when it is due."""
        try:
            while self._ended is None:
                for message in session.outgoing():
                    async with asyncio.timeout(SEND_TIMEOUT_S):
                        await socket.send(message, text=True)
                await self._sleep_until_due(session)
                if session.due <= (now := self._now()):
                    self._deliver(session.tick(now), session, now)
        except ConnectionClosed:
            return  # who listens learns why
        except TimeoutError:
            self._ended = Reconnect(Ending.UNWRITABLE, "the venue does not read what we send")
        await socket.close()

    async def _sleep_until_due(self, session: Session) -> None:
        self._is_due.clear()
        wait_s = session.due - self._now()
        if session.has_outgoing or self._ended is not None or wait_s <= 0:
            return
        self._sleeps_until = session.due
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s if wait_s < math.inf else None):
                await self._is_due.wait()

    def _wake(self, session: Session) -> None:
        """Wake the driving task if it has something to do before it would wake by itself."""
        if session.has_outgoing or session.due < self._sleeps_until:
            self._is_due.set()

    def _unless_stopped(self, ended: Reconnect) -> Reconnect:
        return Reconnect(Ending.STOPPED, ended.detail) if self._closing.is_set() else ended

    def _healthy_s(self) -> float:
        """Return for how long data have flowed in the session that ended last."""
        if self._healthy_since is None:
            return 0.0
        return self._healthy_until - self._healthy_since

    # The queue

    def _deliver(self, events: list[Event], session: Session, now: float) -> None:
        for event in events:
            if type(event) is Notification:  # nearly all are
                self._note_health(now)
                if not self._inbox.offer(self.time_ns(), event, len(event.raw)):
                    self.counts.overflowed += 1
                    for mark in session.lost(event.channel, now):
                        self._put(mark)
            else:
                self._deliver_rare(event, now)

    def _deliver_rare(self, event: Event, now: float) -> None:
        match event:
            case Unreadable():
                self.counts.unreadable += 1
                # If it does not fit it is counted only: the queue is for what can be used.
                self._inbox.offer(self.time_ns(), event, len(event.raw))
            case Tick() | Failed():
                if not self._channels:
                    self._note_health(now)
                self._inbox.offer(self.time_ns(), event, 0)  # the next tick says the same, later
            case Connected():
                self._put(event._replace(session=f"{self._name}-{self._sessions}"))
            case Reconnect() | Fatal():
                self._ended = event
            case _:
                self._put(event)

    def _note_health(self, now: float) -> None:
        self._healthy_until = now
        if self._healthy_since is None:
            self._healthy_since = now

    def _put(self, event: Event) -> None:
        self._inbox.put(self.time_ns(), event)
