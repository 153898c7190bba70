"""The requests of one session: numbered, kept within the venue's limits, and each with a deadline.

A call to subscribe has paid its share of the limits when it was planned; any other request is held
back here while its pool is empty. An answer to a question of the venue is never held back.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Final, NamedTuple

import msgspec

from deribit.limits import Limits
from deribit.subscriptions import Call
from deribit.vocabulary import Method

REQUEST_TIMEOUT_S: Final = 10.0
"""A socket on which any request stays unanswered for this long is dead or useless."""


class Request(NamedTuple):
    """A request that waits for its answer."""

    method: Method
    deadline: float
    call: Call | None


class _Held(NamedTuple):
    method: Method
    params: dict[str, Any]


class Requests:
    """Keeps the requests of a session: unanswered, to be sent, and those that have to wait."""

    def __init__(self, limits: Limits, timeout_s: float) -> None:
        self._limits = limits
        self._timeout_s = timeout_s
        self._outgoing: list[bytes] = []
        self._pending: dict[int, Request] = {}
        self._held: deque[_Held] = deque()
        self._held_until = math.inf
        self._last_id = 0

    @property
    def due(self) -> float:
        """Return when to act if nothing is heard: an answer is missed, or a hold has ended."""
        deadline = min((request.deadline for request in self._pending.values()), default=math.inf)
        return min(deadline, self._held_until)

    @property
    def has_outgoing(self) -> bool:
        """Return whether there is something to send."""
        return bool(self._outgoing)

    def ask(self, method: Method, now: float, params: dict[str, Any]) -> None:
        """Send a request, as soon as the limits allow."""
        self._held.append(_Held(method, params))
        self.release(now)

    def call(self, method: Method, now: float, call: Call) -> None:
        """Send a call that has been paid for."""
        self._send(method, now, {"channels": call.channels}, call)

    def reply(self, method: Method, now: float) -> None:
        """Send what the venue waits for, now."""
        self._limits.spend(method, now)
        self._send(method, now, {})

    def release(self, now: float) -> None:
        """Send what was held back, in order, as far as the limits allow."""
        while self._held and self._limits.take(self._held[0].method, now):
            held = self._held.popleft()
            self._send(held.method, now, held.params)
        if self._held:
            self._held_until = self._limits.ready_at(self._held[0].method, now)
        else:
            self._held_until = math.inf

    def answered(self, number: object) -> Request | None:
        """Return the request that an answer belongs to, and forget it; None if there is none."""
        return self._pending.pop(number, None) if isinstance(number, int) else None

    def overdue(self, now: float) -> Request | None:
        """Return a request that should have been answered by now; None if there is none."""
        return next((one for one in self._pending.values() if one.deadline <= now), None)

    def is_asking(self, method: Method) -> bool:
        """Return whether a method has been asked for, or is to be, and was not answered."""
        return any(one.method is method for one in self._pending.values()) or any(
            one.method is method for one in self._held
        )

    def outgoing(self) -> list[bytes]:
        """Return the messages to send, each once."""
        messages, self._outgoing = self._outgoing, []
        return messages

    def forget(self) -> None:
        """Nothing of what was asked for will ever be answered."""
        self._pending.clear()
        self._held.clear()
        self._held_until = math.inf

    def _send(
        self, method: Method, now: float, params: dict[str, Any], call: Call | None = None
    ) -> None:
        self._last_id += 1
        self._pending[self._last_id] = Request(method, now + self._timeout_s, call)
        self._outgoing.append(
            msgspec.json.encode(
                {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
            )
        )
