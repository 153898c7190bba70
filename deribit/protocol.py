"""One websocket session of Deribit's JSON-RPC protocol, without I/O, clock or logger.

The caller tells it the time (monotonic seconds), hands it what arrives, calls `tick` when `due`
is reached, sends what `outgoing` answers, and gets events. It never raises for anything that the
venue says; after a Reconnect or Fatal event it says nothing more.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from deribit.backoff import Backoff
from deribit.events import (
    Connected,
    Event,
    Failed,
    Fatal,
    Instruments,
    Reconnect,
    Unreadable,
)
from deribit.feed import Dropped, Feed
from deribit.subscriptions import Call
from deribit.venue_clock import VenueClock
from deribit.wire import (
    UNREADABLE,
    Message,
    Token,
    VenueError,
    Version,
    decode,
    open_perpetuals,
)
from deribit.words import (
    HEARTBEAT,
    NOTIFICATION,
    SIMULATED,
    TEST_REQUEST,
    Method,
    Reaction,
    error_name,
    least_wait_s,
    reaction_to,
)

CLIENT_NAME: Final = "steelyard"
CLIENT_VERSION: Final = "0.1.0"
HEARTBEAT_S: Final = 10
"""The venue asks for a sign of life this often, and closes 10 s after one that got no answer."""
REQUEST_TIMEOUT_S: Final = 10.0
"""A socket on which any request stays unanswered for this long is dead or useless."""
INSTRUMENTS_REFRESH_S: Final = 600.0
INSTRUMENTS_RETRY_S: Final = 30.0
AUTH_REFRESH_SHARE: Final = 0.8
"""The part of a token's life after which we authenticate anew."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key of the venue's API. The secret does not show in a log or a traceback."""

    client_id: str
    client_secret: str = field(repr=False)


class _Request(NamedTuple):
    method: Method
    deadline: float
    call: Call | None


class Session:
    """One session, from the opened socket to a Reconnect or Fatal event."""

    def __init__(
        self,
        channels: Iterable[str] = (),
        *,
        credentials: Credentials | None = None,
        rng: random.Random | None = None,
        backoff: Backoff | None = None,
        dropped: Dropped | None = None,
    ) -> None:
        self.is_over = False
        self.due = math.inf
        """When `tick` should be called next."""
        self._credentials = credentials
        self._channels = tuple(channels)
        rng = rng if rng is not None else random.Random()
        self.dropped = dropped if dropped is not None else Dropped()
        """How many notifications were not handed on."""
        self._feed = Feed(backoff if backoff is not None else Backoff(), rng, self.dropped)
        self._outgoing: list[bytes] = []
        self._pending: dict[int, _Request] = {}
        self._last_id = 0
        self._is_ready = False
        self._is_greeted = False
        self._is_authorised = credentials is None
        self._simulated = False
        self._heard_at = -math.inf
        self._clock = VenueClock()
        self._instruments_due = math.inf
        self._auth_due = math.inf
        self._on_result: Mapping[Method, Callable[[_Request, msgspec.Raw, float], list[Event]]] = {
            Method.HELLO: self._on_hello,
            Method.AUTH: self._on_auth,
            Method.GET_INSTRUMENTS: self._on_instruments,
            Method.SUBSCRIBE: self._on_call,
            Method.UNSUBSCRIBE: self._on_call,
            Method.PRIVATE_SUBSCRIBE: self._on_call,
            Method.PRIVATE_UNSUBSCRIBE: self._on_call,
        }

    # What the owner does

    def opened(self, now: float) -> None:
        """Begin: greet, authenticate, ask for heartbeats. Channels wait until both are answered."""
        self._heard_at = now
        self._request(Method.HELLO, now, client_name=CLIENT_NAME, client_version=CLIENT_VERSION)
        if self._credentials is not None:
            self._authenticate(self._credentials, now)
        self._request(Method.SET_HEARTBEAT, now, interval=HEARTBEAT_S)
        self._feed.subscriptions.want(self._channels, now)
        self._schedule()

    def received(self, raw: bytes, now: float) -> list[Event]:
        """Take a message; return what it means."""
        if self.is_over:
            return []
        self._heard_at = now
        try:
            message = decode(raw)
        except UNREADABLE as error:
            return [Unreadable(raw, str(error))]
        if message.method == NOTIFICATION:
            events = self._feed.notified(message.params, raw, now)
            if self._feed.subscriptions.due < self.due:
                self._schedule()
            return events
        if message.method == HEARTBEAT:
            if message.params is not None and message.params.type == TEST_REQUEST:
                self._request(Method.TEST, now)
                self._schedule()
            return []
        if message.method:
            return [Unreadable(raw, f"method {message.method[:80]!r} is not known")]
        events = self._on_answer(message, raw, now)
        self._advance(now)
        return events

    def tick(self, now: float) -> list[Event]:
        """Do what is due; return what it means."""
        if self.is_over:
            return []
        for request in self._pending.values():
            if request.deadline <= now:
                waited = f"{request.method} was not answered in {REQUEST_TIMEOUT_S:g} s"
                return self._end(Reconnect("unanswered", waited))
        tick = self._clock.overdue(self._heard_at, now)
        if self._is_ready and now >= self._clock.probe_due and not self._is_probing():
            self._clock.probed(now)
            self._request(Method.TEST, now)
        if now >= self._instruments_due:
            self._instruments_due = math.inf
            self._request(Method.GET_INSTRUMENTS, now, currency="any", kind="future", expired=False)
        if self._credentials is not None and now >= self._auth_due:
            self._authenticate(self._credentials, now)
        self._advance(now)
        return [] if tick is None else [tick]

    def outgoing(self) -> list[bytes]:
        """Return the messages to send, each once."""
        messages, self._outgoing = self._outgoing, []
        return messages

    @property
    def has_outgoing(self) -> bool:
        """Whether there is something to send."""
        return bool(self._outgoing)

    def want(self, channels: Iterable[str], now: float) -> None:
        """Make these the wanted channels; raise ValueError if one is none of the venue's."""
        self._feed.subscriptions.want(channels, now)
        self._schedule()

    def resync(self, channel: str, now: float) -> list[Event]:
        """Ask for a new snapshot of a book; nothing if that is under way, or it is not wanted."""
        events = self._feed.resync(channel, now)
        self._schedule()
        return events

    def lost(self, channel: str, now: float) -> list[Event]:
        """Note that the owner could not keep a notification, and is behind until `relieved`."""
        events = self._feed.lost(channel, now)
        self._schedule()
        return events

    def relieved(self, now: float) -> None:
        """Note that the owner has caught up: snapshots may be asked for again."""
        if self._feed.relieved(now):
            self._schedule()

    # What the venue says

    def _on_answer(self, message: Message, raw: bytes, now: float) -> list[Event]:
        tick = self._clock.read(message.usOut, now) if self._is_ready else None
        events: list[Event] = [] if tick is None else [tick]
        request = self._pending.pop(message.id, None) if isinstance(message.id, int) else None
        if message.error is not None:
            return events + self._on_error(request, message.error, now)
        if request is None:
            return [*events, Unreadable(raw, "it answers no request of this session")]
        try:
            handler = self._on_result.get(request.method)
            return events + (handler(request, message.result, now) if handler else [])
        except UNREADABLE as error:
            what = f"answer to {request.method}: {error}"
            events.append(Unreadable(raw, what))
            if request.method is Method.GET_INSTRUMENTS:
                self._instruments_due = now + INSTRUMENTS_RETRY_S
                return events
            return events + self._end(Reconnect("unreadable_answer", what))

    def _on_hello(self, _: _Request, result: msgspec.Raw, now: float) -> list[Event]:
        version = msgspec.json.decode(result, type=Version).version
        self._is_greeted = True
        self._simulated = SIMULATED in version
        return self._get_ready(now)

    def _on_auth(self, _: _Request, result: msgspec.Raw, now: float) -> list[Event]:
        expires_in = msgspec.json.decode(result, type=Token).expires_in
        self._auth_due = now + max(REQUEST_TIMEOUT_S, expires_in * AUTH_REFRESH_SHARE)
        self._is_authorised = True
        return self._get_ready(now)

    def _get_ready(self, now: float) -> list[Event]:
        if self._is_ready or not (self._is_greeted and self._is_authorised):
            return []
        self._is_ready = True
        self._instruments_due = now
        self._feed.subscriptions.due = now
        return [Connected(self._simulated)]

    def _on_instruments(self, _: _Request, result: msgspec.Raw, now: float) -> list[Event]:
        found, refused = open_perpetuals(result)
        self._instruments_due = now + INSTRUMENTS_REFRESH_S
        return [*refused, Instruments(tuple(found))]

    def _on_call(self, request: _Request, result: msgspec.Raw, now: float) -> list[Event]:
        assert request.call is not None
        listed = set(msgspec.json.decode(result, type=list[str]))
        return self._feed.answered(request.call, listed, now)

    def _on_error(self, request: _Request | None, error: VenueError, now: float) -> list[Event]:
        method = request.method if request is not None else ""
        call = request.call if request is not None else None
        events: list[Event] = [Failed(method, error.code, error.message[:500])]
        detail = f"{method or 'the venue'}: error {error.code} {error.message[:200]}"
        reaction = reaction_to(error.code)
        if reaction is Reaction.STOP and method == Method.AUTH:
            return events + self._end(Fatal(f"{detail}: the credentials are wrong"))
        if reaction is Reaction.RESUBSCRIBE:
            named = call.channels if call is not None else tuple(error.channels())
            if (gaps := self._feed.unsubscribed(named, now)) is not None:
                return events + gaps
            return events + self._end(Reconnect(error_name(error.code), detail))
        if call is not None and reaction is Reaction.RETRY:
            self._feed.subscriptions.retry(call, now)
            return events
        if call is not None and call.is_subscribe and reaction is not Reaction.RECONNECT:
            if reaction is Reaction.FALL_BACK and (fell := self._feed.refused_raw(call, now)):
                return events + fell
            return events + self._feed.refused(call, detail)
        if method == Method.GET_INSTRUMENTS and reaction is not Reaction.RECONNECT:
            self._instruments_due = now + INSTRUMENTS_RETRY_S
            return events
        if reaction is Reaction.RECONNECT or method in _INDISPENSABLE or call is not None:
            ended = Reconnect(error_name(error.code), detail, least_wait_s(error.code))
            return events + self._end(ended)
        return events

    # What is due

    def _advance(self, now: float) -> None:
        """Make the calls that are due, and note when the next thing is."""
        if self._is_ready and not self.is_over and now >= self._feed.subscriptions.due:
            private = self._credentials is not None
            for call in self._feed.subscriptions.plan(now):
                if call.is_subscribe:
                    method = Method.PRIVATE_SUBSCRIBE if private else Method.SUBSCRIBE
                else:
                    method = Method.PRIVATE_UNSUBSCRIBE if private else Method.UNSUBSCRIBE
                self._request(method, now, call, channels=call.channels)
        self._schedule()

    def _schedule(self) -> None:
        if self.is_over:
            self.due = math.inf
            return
        due = min(self._instruments_due, self._auth_due)
        for request in self._pending.values():
            due = min(due, request.deadline)
        if self._is_ready:
            due = min(due, self._feed.subscriptions.due, self._clock.tick_due)
            if not self._is_probing():
                due = min(due, self._clock.probe_due)
        self.due = due

    def _is_probing(self) -> bool:
        return any(request.method is Method.TEST for request in self._pending.values())

    # Requests

    def _request(self, method: Method, now: float, call: Call | None = None, **params: Any) -> None:
        self._last_id += 1
        self._pending[self._last_id] = _Request(method, now + REQUEST_TIMEOUT_S, call)
        self._outgoing.append(
            msgspec.json.encode(
                {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
            )
        )

    def _authenticate(self, credentials: Credentials, now: float) -> None:
        self._auth_due = math.inf
        self._request(
            Method.AUTH,
            now,
            grant_type="client_credentials",
            client_id=credentials.client_id,
            client_secret=credentials.client_secret,
        )

    def _end(self, event: Reconnect | Fatal) -> list[Event]:
        """The session is over; what was asked for will never be answered."""
        self.is_over = True
        self._pending.clear()
        self._schedule()
        return [event]


_INDISPENSABLE: Final = (Method.HELLO, Method.AUTH, Method.SET_HEARTBEAT)
