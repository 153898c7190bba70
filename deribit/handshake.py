"""The way into a session: the greeting, the login where there is a key, and the heartbeat.

All else waits until greeting and login are answered. Raises one of `wire.UNREADABLE` for an answer
that is none.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from deribit.auth import Login
from deribit.envelope import Token, Version
from deribit.events import Connected, Reconnect
from deribit.requests import Requests
from deribit.venue_clock import VenueClock
from deribit.vocabulary import SIMULATED, Ending, Method

CLIENT_NAME: Final = "steelyard"
CLIENT_VERSION: Final = "0.1.0"
HEARTBEAT_S: Final = 10
"""The venue asks for a sign of life this often, and closes 10 s after one that got no answer."""

Entered = list[Connected | Reconnect]
"""Nothing yet, or that the session is there, or that it cannot be."""


class Handshake:
    """Takes a session from its opening to its login: what was asked, and what comes next."""

    def __init__(self, login: Login | None, requests: Requests, clock: VenueClock) -> None:
        self.login = login
        self.is_ready = False
        """Whether the session may ask for what it wants."""
        self._requests = requests
        self._clock = clock
        self._is_greeted = False
        self._simulated = False
        self.is_testnet = False
        """Whether an answer said that it is the venue's test network."""

    @property
    def is_known(self) -> bool:
        """Return whether the venue knows us, or need not."""
        return self.login is None or self.login.is_done

    @property
    def due(self) -> float:
        """Return when the login has to be renewed."""
        return math.inf if self.login is None else self.login.due

    def greet(self, now: float) -> None:
        """Say hello, which is the first word of a session."""
        who = {"client_name": CLIENT_NAME, "client_version": CLIENT_VERSION}
        self._requests.ask(Method.HELLO, now, who)

    def greeted(self, result: msgspec.Raw, now: float) -> Entered:
        """Take the answer to the greeting."""
        self._simulated = SIMULATED in msgspec.json.decode(result, type=Version).version
        self._is_greeted = True
        return self._get_ready(now) if self.is_known else self.log_in(now)

    def log_in(self, now: float) -> Entered:
        """Show the key, or the token that an earlier login was answered."""
        assert self.login is not None
        params = self.login.request(self._clock.told_ms)
        if params is None:
            what = "the venue told no time, without which a login cannot be signed"
            return [Reconnect(Ending.UNREADABLE_ANSWER, what)]
        self._requests.ask(Method.AUTH, now, params)
        return []

    def logged_in(self, result: msgspec.Raw, now: float) -> Entered:
        """Take the answer to the login."""
        assert self.login is not None
        self.login.accepted(msgspec.json.decode(result, type=Token), now)
        if not self._is_greeted:
            self.greet(now)
            return []
        return self._get_ready(now)

    def log_in_anew(self, now: float) -> Entered:
        """Show the key again, because the venue does not know us any more."""
        assert self.login is not None
        self.login.lost()
        return [] if self._requests.is_asking(Method.AUTH) else self.log_in(now)

    def _get_ready(self, now: float) -> Entered:
        if self.is_ready:
            return []
        self.is_ready = True
        self._requests.ask(Method.SET_HEARTBEAT, now, {"interval": HEARTBEAT_S})
        self._clock.probed(now)  # the answer to this one is a reading too
        return [Connected(self._simulated, is_testnet=self.is_testnet)]
