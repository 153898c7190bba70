"""One websocket session of Deribit's JSON-RPC protocol, without I/O, clock or logger.

The caller tells it the time (monotonic seconds), hands it what arrives, calls `tick` when `due`
is reached, sends what `outgoing` answers, and gets events. It never raises for anything that the
venue says; after a Reconnect or Fatal event it says nothing more. Here the parts of a session meet:
the entrance, the feed, the requests, the clock; each has a module of its own.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from deribit.auth import Credentials, Login
from deribit.backoff import Backoff
from deribit.envelope import (
    UNREADABLE,
    Message,
    VenueError,
    decode,
    open_futures,
)
from deribit.events import (
    Event,
    Failed,
    Fatal,
    Instruments,
    Reconnect,
    Unreadable,
)
from deribit.handshake import Entered, Handshake
from deribit.limits import Limits
from deribit.market_data import Dropped, MarketData
from deribit.requests import REQUEST_TIMEOUT_S, Request, Requests
from deribit.venue_clock import VenueClock
from deribit.vocabulary import (
    HEARTBEAT,
    NOTIFICATION,
    TEST_REQUEST,
    Ending,
    ErrorCode,
    Method,
    Reaction,
    error_name,
    least_wait_s,
    reaction_to,
)

INSTRUMENTS_REFRESH_S: Final = 600.0
INSTRUMENTS_RETRY_S: Final = 30.0
LISTING_DELAY_S: Final = 2.0
"""From an instrument's change of state to a new list: states change in groups, lists are dear."""
_TOKENS: Final = (b"access_token", b"refresh_token")
_WITHHELD: Final = b"(withheld: it may hold a token)"


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
        limits: Limits | None = None,
        lists_instruments: bool = True,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> None:
        self.is_over = False
        self.due = math.inf
        """When `tick` should be called next."""
        self._channels = tuple(channels)
        rng = rng if rng is not None else random.Random()
        limits = limits if limits is not None else Limits()
        self.dropped = dropped if dropped is not None else Dropped()
        """How many notifications were not handed on."""
        backoff = backoff if backoff is not None else Backoff()
        self._feed = MarketData(backoff, rng, self.dropped, limits)
        self._requests = Requests(limits, request_timeout_s)
        self._request_timeout_s = request_timeout_s
        self._clock = VenueClock()
        login = Login(credentials, rng) if credentials is not None else None
        self._entrance = Handshake(login, self._requests, self._clock)
        self._lists_instruments = lists_instruments
        self._heard_at = -math.inf
        self._instruments_due = math.inf
        self._on_result: Mapping[Method, Callable[[Request, msgspec.Raw, float], list[Event]]] = {
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
        """Begin: greet, then authenticate. All else waits until both are answered."""
        self._heard_at = now
        self._entrance.greet(now)
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
            return [_unreadable(raw, str(error))]
        if message.method == NOTIFICATION:
            events = self._feed.notified(message.params, raw, now)
            if self._feed.is_listing_old:
                self._instruments_due = min(self._instruments_due, now + LISTING_DELAY_S)
                self._schedule()
            elif self._feed.subscriptions.due < self.due:
                self._schedule()
            return events
        if message.method == HEARTBEAT:
            if message.params is not None and message.params.type == TEST_REQUEST:
                self._requests.reply(Method.TEST, now)
                self._schedule()
            return []
        if message.method:
            return [_unreadable(raw, f"method {message.method[:80]!r} is not known")]
        events = self._on_answer(message, raw, now)
        self._advance(now)
        return events

    def tick(self, now: float) -> list[Event]:
        """Do what is due; return what it means."""
        if self.is_over:
            return []
        if (late := self._requests.overdue(now)) is not None:
            waited = f"{late.method} was not answered in {self._request_timeout_s:g} s"
            return self._end(Reconnect(Ending.UNANSWERED, waited))
        events: list[Event] = []
        if (tick := self._clock.overdue(self._heard_at, now)) is not None:
            events.append(tick)
        if self._may_probe and now >= self._clock.probe_due:
            self._clock.probed(now)
            self._requests.ask(Method.TEST, now, {})
        if now >= self._instruments_due and self._may_ask:
            self._instruments_due = math.inf
            self._feed.is_listing_old = False
            which = {"currency": "any", "kind": "future", "expired": False}
            self._requests.ask(Method.GET_INSTRUMENTS, now, which)
        if now >= self._entrance.due:
            events += self._entered(self._entrance.log_in(now), now)
        self._advance(now)
        return events

    def outgoing(self) -> list[bytes]:
        """Return the messages to send, each once."""
        return self._requests.outgoing()

    @property
    def has_outgoing(self) -> bool:
        """Return whether there is something to send."""
        return self._requests.has_outgoing

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
        events: list[Event] = []
        if not self._entrance.is_ready:
            self._entrance.is_testnet |= message.testnet
            self._clock.told(message.usOut)
        elif (tick := self._clock.read(message.usOut, now)) is not None:
            events.append(tick)
        request = self._requests.answered(message.id)
        if message.error is not None:
            return events + self._on_error(request, message.error, now)
        if request is None:
            return [*events, _unreadable(raw, "it answers no request of this session")]
        try:
            handler = self._on_result.get(request.method)
            return events + (handler(request, message.result, now) if handler else [])
        except UNREADABLE as error:
            what = f"answer to {request.method}: {error}"
            events.append(_unreadable(raw, what))
            if request.method is Method.GET_INSTRUMENTS:
                self._instruments_due = now + INSTRUMENTS_RETRY_S
                return events
            return events + self._end(Reconnect(Ending.UNREADABLE_ANSWER, what))

    def _on_hello(self, _: Request, result: msgspec.Raw, now: float) -> list[Event]:
        return self._entered(self._entrance.greeted(result, now), now)

    def _on_auth(self, _: Request, result: msgspec.Raw, now: float) -> list[Event]:
        return self._entered(self._entrance.logged_in(result, now), now)

    def _entered(self, entered: Entered, now: float) -> list[Event]:
        """Begin to ask for what is wanted when the session is there; end if it cannot be."""
        events: list[Event] = []
        for event in entered:
            if isinstance(event, Reconnect):
                return self._end(event)
            if self._lists_instruments:
                self._instruments_due = now
            self._feed.subscriptions.due = now
            events.append(event)
        return events

    def _on_instruments(self, _: Request, result: msgspec.Raw, now: float) -> list[Event]:
        found, refused = open_futures(result)
        wait_s = LISTING_DELAY_S if self._feed.is_listing_old else INSTRUMENTS_REFRESH_S
        self._instruments_due = now + wait_s
        return [*refused, Instruments(tuple(found))]

    def _on_call(self, request: Request, result: msgspec.Raw, now: float) -> list[Event]:
        assert request.call is not None
        listed = set(msgspec.json.decode(result, type=list[str]))
        if self._entrance.login is not None and listed:
            self._entrance.login.is_fresh = False
        return self._feed.answered(request.call, listed, now)

    def _on_error(self, request: Request | None, error: VenueError, now: float) -> list[Event]:
        method = request.method if request is not None else ""
        call = request.call if request is not None else None
        # What the venue says of a login could repeat what we sent; the code says enough.
        said = error_name(error.code) if method == Method.AUTH else error.message[:500]
        events: list[Event] = [Failed(method, error.code, said)]
        detail = f"{method or 'the venue'}: error {error.code} {said[:200]}"
        reaction = reaction_to(error.code)
        if (login := self._entrance.login) is not None:
            if method == Method.AUTH:
                if reaction is not Reaction.RECONNECT and login.refused():
                    return events + self._entered(self._entrance.log_in(now), now)
                if reaction is Reaction.STOP:
                    return events + self._end(Fatal(detail))
            elif _asks_who_we_are(error.code) and not (login.is_done and login.is_fresh):
                return events + self._log_in_and_repeat(request, now)
        if reaction is Reaction.RESUBSCRIBE:
            named = call.channels if call is not None else tuple(error.channels())
            if (gaps := self._feed.unsubscribed(named, now)) is not None:
                return events + gaps
            return events + self._end(Reconnect(error_name(error.code), detail))
        if call is not None and reaction is Reaction.RETRY:
            self._feed.subscriptions.retry(call, now)
            return events
        if call is not None and call.is_subscribe and reaction not in _ENDING:
            if reaction is Reaction.FALL_BACK and (fell := self._feed.refused_raw(call, now)):
                return events + fell
            return events + self._feed.refused(call, detail)
        if method == Method.GET_INSTRUMENTS and reaction not in _ENDING:
            self._instruments_due = now + INSTRUMENTS_RETRY_S
            return events
        if reaction in _ENDING or method in _INDISPENSABLE or call is not None:
            ended = Reconnect(error_name(error.code), detail, least_wait_s(error.code))
            return events + self._end(ended)
        return events

    # What is due

    def _advance(self, now: float) -> None:
        """Make the calls that are due, and note when the next thing is."""
        self._requests.release(now)
        if self._may_ask and now >= self._feed.subscriptions.due:
            private = self._entrance.login is not None
            for call in self._feed.subscriptions.plan(now):
                if call.is_subscribe:
                    method = Method.PRIVATE_SUBSCRIBE if private else Method.SUBSCRIBE
                else:
                    method = Method.PRIVATE_UNSUBSCRIBE if private else Method.UNSUBSCRIBE
                self._requests.call(method, now, call)
        self._schedule()

    def _schedule(self) -> None:
        if self.is_over:
            self.due = math.inf
            return
        due = min(self._requests.due, self._entrance.due)
        if self._entrance.is_ready:
            due = min(due, self._clock.tick_due)
        if self._may_ask:
            due = min(due, self._instruments_due, self._feed.subscriptions.due)
        if self._may_probe:
            due = min(due, self._clock.probe_due)
        self.due = due

    @property
    def _may_probe(self) -> bool:
        return self._entrance.is_ready and not self._requests.is_asking(Method.TEST)

    @property
    def _may_ask(self) -> bool:
        """Return whether the venue would answer what we want to know."""
        return not self.is_over and self._entrance.is_ready and self._entrance.is_known

    def _log_in_and_repeat(self, request: Request | None, now: float) -> list[Event]:
        """Authenticate on this connection, and ask again for what was refused."""
        if request is not None and request.call is not None:
            self._feed.subscriptions.retry(request.call, now)
        elif request is not None and request.method is Method.GET_INSTRUMENTS:
            self._instruments_due = now
        return self._entered(self._entrance.log_in_anew(now), now)

    def _end(self, event: Reconnect | Fatal) -> list[Event]:
        """The session is over; what was asked for will never be answered."""
        self.is_over = True
        self._requests.forget()
        self._schedule()
        return [event]


_INDISPENSABLE: Final = (Method.HELLO, Method.AUTH, Method.SET_HEARTBEAT)
_ENDING: Final = (Reaction.RECONNECT, Reaction.LOG_IN)
"""A login that has just been tried, or that we have no key for, is tried on a new connection."""


def _asks_who_we_are(code: int) -> bool:
    """Return whether an error means that the venue does not, or no longer, know who we are."""
    return reaction_to(code) is Reaction.LOG_IN or code in (
        ErrorCode.RAW_NEEDS_AUTHORIZATION,
        ErrorCode.UNAUTHENTICATED_DISABLED,
    )


def _unreadable(raw: bytes, reason: str) -> Unreadable:
    """Return a message that was not understood, unless it is one that nobody else may see."""
    return Unreadable(_WITHHELD if any(word in raw for word in _TOKENS) else raw, reason)
