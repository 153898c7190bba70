"""The hub: watches what the worker knows, and wakes the clients that are owed something newer.

It works only while there are clients, in turns of the loop. Each takes what it is owed when its
socket is ready for it (see latest.py); those that are owed the same share its bytes. Waking goes in
slices, and takes at most a third of the loop's time, so that five hundred clients delay no
processing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

from app.api.envelope import encode_row
from app.api.push.conflation import EVERY_STATE, STATES, Interest, Key, Latest, wants
from app.api.push.events import Batch, batch, end, events_of, heartbeat
from app.state.read_model import Serving
from faust_exact.time_slice import Turn

log = logging.getLogger("steelyard.push")

LOOK_EVERY_S: Final = 0.05
"""So often states are compared with those that were sent; they are published each 250 ms."""
AGEING_S: Final = 0.2
"""So often although no state is new: what is not heard of for long becomes `stale`."""
LEAST_PAUSE_S: Final = 0.002
"""Between two wakings; windows of one instant close one after another."""
SLICE: Final = 25
"""Clients woken at once; then it is the turn of others on the loop."""
REST_FACTOR: Final = 2.0
"""After a waking, rest so many times as long as it took."""
HEARTBEAT_S: Final = 1.0
ID_MARK: Final = "."


class Closed(Exception):
    """The hub ends: with why, for the client."""


class Full(Exception):
    """There are as many clients as are served."""


class Client:
    """One connection: what it wants, and what it has been given."""

    def __init__(self, hub: Hub, wanted: Interest, given: int | None) -> None:
        self.hub = hub
        self.wanted = wanted
        self.follows_windows = any(key.channel != STATES for key in wanted)
        self.is_new = given is None
        """Whether the next batch is a whole snapshot."""
        self.given = given or 0
        """Number of the last message that it has been given or did not want."""
        self.woken = asyncio.Event()

    def want(self, wanted: Interest) -> None:
        """Change what the client wants; a snapshot of it is due."""
        self.hub.ask(wanted, self.wanted)
        self.wanted = wanted
        self.follows_windows = any(key.channel != STATES for key in wanted)
        self.is_new = True
        self.given = 0
        self.woken.set()
        self.hub.count_followers()

    async def next(self) -> Batch:
        """Wait for what is owed, or for the time of a heartbeat; raise Closed at the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT_S):
                while not self.hub.is_closed:
                    self.woken.clear()
                    owed = self.hub.owed(self)
                    if owed is not None:
                        return owed
                    await self.woken.wait()
        if self.hub.is_closed:
            raise Closed
        return self.hub.heartbeat()


class Hub:
    """All clients of a worker."""

    def __init__(
        self, serving: Serving, max_clients: int, measure: Callable[[float], object]
    ) -> None:
        """`measure` is told the seconds from a message's receipt to its state's being pushed."""
        self.serving = serving
        self._measure = measure
        self.max_clients = max_clients
        self.latest = Latest()
        self.clients: set[Client] = set()
        self.windows_followed = asyncio.Event()
        self.is_closed = False
        self.epoch = secrets.token_hex(4)
        """Names this run: numbers of another one mean nothing here."""
        self._asked: Counter[Key] = Counter()
        """How many clients want each key."""
        self._seen: dict[str, tuple[int, int, int | None, str]] = {}
        """By instrument that was asked for: what of its state was sent last."""
        self._looked_at: object = None
        """The states that were compared last."""
        self._looked_s = 0.0
        self._shared: dict[tuple[Interest, int, bool], Batch | None] = {}
        """What was made since the newest message, by interest, place and wholeness."""
        self._shared_at = -1
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # For the transports

    def join(self, wanted: Interest, last_id: str | None = None) -> Client:
        """Add a client, which has seen what `last_id` names; raise Full or Closed."""
        if self.is_closed:
            raise Closed
        if len(self.clients) >= self.max_clients:
            raise Full
        client = Client(self, wanted, self._number_of(last_id))
        self.ask(wanted)
        self.clients.add(client)
        self.count_followers()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="push")
        return client

    def ask(self, wanted: Interest, before: Interest = frozenset()) -> None:
        """Note what a client wants instead of what it wanted `before`; its snapshot can be made."""
        if any(key.channel == STATES for key in wanted - before):
            self._look(wanted)
        self._asked.update(wanted)
        self._asked.subtract(before)

    def leave(self, client: Client) -> None:
        """Forget a client."""
        self.clients.remove(client)
        self._asked.subtract(client.wanted)
        self.count_followers()

    async def close(self) -> None:
        """End every connection."""
        self.is_closed = True
        for client in self.clients:
            client.woken.set()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def last_words(self) -> Batch:
        """Return what is sent before this worker ends."""
        detail = "this worker stops; another one answers"
        return batch([end(self.serving.now_ms(), self.serving.worker, "going-away", detail)])

    def heartbeat(self) -> Batch:
        """Return a heartbeat."""
        return batch([heartbeat(self.serving.now_ms(), self.serving.worker)])

    # For those who write

    def count_followers(self) -> None:
        """Say whether any client follows windows, which are read only then."""
        if any(client.follows_windows for client in self.clients):
            self.windows_followed.set()
        else:
            self.windows_followed.clear()

    def put_windows(self, windows: Iterable[tuple[Key, bytes]]) -> None:
        """Take closed windows."""
        for key, value in windows:
            self.latest.put(key, value)
        self._changed.set()

    # What is owed

    def owed(self, client: Client) -> Batch | None:
        """Return what a client is to be sent now; None if that is nothing."""
        newest = self.latest.number
        if client.given == newest and not client.is_new:
            return None
        if self._shared_at != newest:
            self._shared.clear()
            self._shared_at = newest
        place = client.wanted, client.given, client.is_new
        if place not in self._shared:
            self._shared[place] = self._batch(*place)
        client.given, client.is_new = newest, False
        return self._shared[place]

    def _batch(self, wanted: Interest, given: int, whole: bool) -> Batch | None:
        owed = [each for each in self.latest.newer(given) if wants(wanted, each.key)]
        whole = whole and any(key.channel == STATES for key in wanted)
        events = events_of(
            owed, as_of_ms=self.serving.now_ms(), worker=self.serving.worker, whole=whole
        )
        if not events:
            return None
        return batch(events, f"{self.epoch}{ID_MARK}{self.latest.number}")

    def _number_of(self, last_id: str | None) -> int | None:
        """Return the number that an id of this run names; None of any other."""
        epoch, _, number = (last_id or "").partition(ID_MARK)
        if epoch != self.epoch or not number.isdecimal() or int(number) > self.latest.number:
            return None
        return int(number)

    # Watching

    async def _run(self) -> None:
        """Look, and wake who is owed something, as long as there are clients."""
        woken_to = self.latest.number
        now = asyncio.get_running_loop().time
        look_at = now()
        while self.clients:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(look_at):
                    await self._changed.wait()
            self._changed.clear()
            if now() >= look_at:  # windows may have come more often
                look_at = now() + LOOK_EVERY_S
                try:
                    await self._look_again()
                except Exception:
                    log.exception("the states cannot be pushed; trying again")
                    await asyncio.sleep(HEARTBEAT_S)
                    continue
            if self.latest.number != woken_to:
                woken_to = self.latest.number
                began = time.monotonic()
                await self._wake()
                took_s = time.monotonic() - began
                await asyncio.sleep(max(LEAST_PAUSE_S, REST_FACTOR * took_s))

    async def _look_again(self) -> None:
        """Look, if anything may be new, in turns; begin again if the states are others then."""
        states, now_s = self.serving.states(), time.monotonic()
        if states is self._looked_at and now_s - self._looked_s < AGEING_S:
            return
        self._looked_at, self._looked_s, turn = None, now_s, Turn()
        while self._looked_at is None:
            for _ in self._looking():
                if turn.is_over:
                    await turn.pause()
                    if self.serving.states() is not states:
                        states = self.serving.states()
                        break
            else:
                self._looked_at = states

    def _look(self, more: Interest) -> None:
        """Take what is new, at once, in what is asked for and in what is going to be, besides."""
        for _ in self._looking(more):
            pass

    def _looking(self, more: Interest = frozenset()) -> Iterator[None]:
        """Take what is new in the states that are asked for, their word of quality included."""
        serving, latest = self.serving, self.latest
        states = serving.states()
        now_ms = serving.now_ms()
        names: Iterable[str] = states
        if not self._asked[EVERY_STATE] and EVERY_STATE not in more:
            keys = (Key(STATES, name) for name in states)
            names = [key.instrument for key in keys if key in more or self._asked[key]]
        for name in self._seen.keys() - states.keys():
            del self._seen[name]
            latest.put(Key(STATES, name), None)
        for name in names:
            state = states[name]
            status = serving.status_of(state)
            sent = state.published_ms, state.received_ms, state.change_id, status
            seen = self._seen.get(name)
            if seen != sent:
                latest.put(Key(STATES, name), encode_row(serving, state, now_ms))
                # A state is written anew for a window's end, too, long after the last message; and
                # what nobody asked for until now is not late.
                if seen is not None and seen[1] != state.received_ms and not more:
                    self._measure(max(0, now_ms - state.received_ms) / 1_000)
                self._seen[name] = sent
                yield

    async def _wake(self) -> None:
        for number, client in enumerate(list(self.clients), 1):
            client.woken.set()
            if number % SLICE == 0:
                await asyncio.sleep(0)
