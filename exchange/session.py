"""One connection's login, subscriptions and heartbeat. It does no I/O and is told the time."""

from dataclasses import dataclass, field
from typing import Literal

from exchange.auth import Login
from exchange.hub import Subscriber
from exchange.rate_limits import RateLimit

HEARTBEAT_GRACE_S = 10.0  # an unanswered test_request closes the connection after this
HEARTBEAT_STRETCH = 1.06  # measured on the real venue: 10.6 s at interval 10
IDLE_CLOSE_S = 60.5  # a connection that asks nothing and follows nothing is closed

Due = Literal["heartbeat", "test_request", "heartbeat close", "idle close"]


@dataclass(slots=True, eq=False)
class Session:
    subscriber: Subscriber
    number: int = 0  # of the connection, from 1
    heartbeat_scale: float = 1.0
    login: Login | None = None  # the last one, expired or not
    credits: RateLimit = field(default_factory=RateLimit)
    channels: dict[str, None] = field(default_factory=dict)
    ends: bool = False  # the connection is to be cut after the reply
    openings: list[str] = field(default_factory=list)  # to be sent right after the reply
    _interval_s: float | None = None
    _next_at: float = 0.0
    _asked_at: float | None = None
    _heard_at: float = 0.0
    _sent_since: bool = False

    def heard(self, now: float) -> None:
        """Something came from the client."""
        self._heard_at = now

    def told(self) -> None:
        """A notification went to the client."""
        self._sent_since = True

    def beat(self, interval_s: float | None, now: float) -> None:
        """Start heartbeats at that interval, or stop them with None."""
        self._interval_s = interval_s
        self._asked_at = None
        if interval_s is not None:
            self._next_at = now + interval_s * HEARTBEAT_STRETCH * self.heartbeat_scale

    def answered(self) -> None:
        """The client called public/test."""
        self._asked_at = None

    @property
    def wakes_at(self) -> float:
        """Return when `due` must be asked next."""
        if self._interval_s is None:
            return self._heard_at + IDLE_CLOSE_S * self.heartbeat_scale
        if self._asked_at is None:
            return self._next_at
        return min(self._next_at, self._asked_at + HEARTBEAT_GRACE_S * self.heartbeat_scale)

    def due(self, now: float) -> list[Due]:
        """Return what has to be done at that time."""
        if self._interval_s is None:
            if self.channels:
                self._heard_at = now  # a follower may be silent as long as it likes
                return []
            return ["idle close"] if now >= self.wakes_at else []
        grace_s = HEARTBEAT_GRACE_S * self.heartbeat_scale
        if self._asked_at is not None and now >= self._asked_at + grace_s:
            return ["heartbeat close"]
        if now < self._next_at:
            return []
        self._next_at = now + self._interval_s * HEARTBEAT_STRETCH * self.heartbeat_scale
        # Only a socket that was quiet also gets the informational heartbeat.
        beats: list[Due] = ["test_request"] if self._sent_since else ["heartbeat", "test_request"]
        self._sent_since = False
        if self._asked_at is None:
            self._asked_at = now
        return beats
