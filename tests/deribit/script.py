"""A session with a told clock and a venue that answers only what the test says."""

from __future__ import annotations

import json
import random
from typing import Any

from deribit.auth import Credentials
from deribit.events import Event, Tick
from deribit.protocol import Session

BTC = "book.BTC-PERPETUAL.100ms"
ETH = "book.ETH-PERPETUAL.100ms"
VENUE_US = 1_700_000_000_000_000


def book(
    channel: str, change_id: int, previous_id: int | None = None, data: dict[str, Any] | None = None
) -> bytes:
    """Return a book notification: a snapshot if it names no predecessor."""
    body: dict[str, Any] = {
        "timestamp": 1_700_000_000_000,
        "type": "snapshot" if previous_id is None else "change",
        "change_id": change_id,
        "instrument_name": channel.split(".")[1],
        "bids": [["new", 100.0, 1.0e3]],
        "asks": [],
    }
    if previous_id is not None:
        body["prev_change_id"] = previous_id
    return notification(channel, body | (data or {}))


def notification(channel: str, data: Any) -> bytes:
    params = {"channel": channel, "data": data}
    message = {"jsonrpc": "2.0", "method": "subscription", "params": params}
    return json.dumps(message, separators=(",", ":")).encode()


def heartbeat(kind: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": kind}}).encode()


class Venue:
    """Drives one session: `now` is the clock, `asked` the requests that wait for an answer."""

    def __init__(self, *channels: str, credentials: Credentials | None = None, seed: int = 1):
        self.now = 1_000.0
        self.session = Session(channels, credentials=credentials, rng=random.Random(seed))
        self.events: list[Event] = []
        self.asked: list[dict[str, Any]] = []
        self.sent: list[bytes] = []
        self.session.opened(self.now)
        self._collect([])

    def ready(self) -> Venue:
        """Answer whatever is asked until the session has subscribed and has its instruments."""
        for _ in range(10):
            self.tick(0.0)
            for request in list(self.asked):
                self.answer_one(request)
        self.events.clear()
        return self

    def answer_one(self, request: dict[str, Any]) -> list[Event]:
        match request["method"].split("/")[1]:
            case "hello" | "test":
                result: Any = {"version": "1.2.26"}
            case "auth":
                result = {"access_token": "t", "expires_in": 900, "token_type": "bearer"}
            case "get_instruments":
                result = []
            case "subscribe" | "unsubscribe":
                result = request["params"]["channels"][::-1]
            case _:
                result = "ok"
        return self.answer(request["method"], result, request)

    def answer(
        self, method: str, result: Any, request: dict[str, Any] | None = None
    ) -> list[Event]:
        return self._reply(method, {"result": result}, request)

    def fail(self, method: str, code: int, message: str = "no", **error: Any) -> list[Event]:
        return self._reply(method, {"error": {"code": code, "message": message, **error}}, None)

    def says(self, *messages: bytes) -> list[Event]:
        events: list[Event] = []
        for message in messages:
            events += self._collect(self.session.received(message, self.now))
        return events

    def tick(self, seconds: float) -> list[Event]:
        """Let time pass, with a call of `tick` whenever the session wants one."""
        until = self.now + seconds
        events = []
        for _ in range(1_000):
            if self.session.due > until:
                break
            self.now = max(self.now, self.session.due)
            events += self._collect(self.session.tick(self.now))
        else:
            raise AssertionError("the session wants to be called again and again")
        self.now = until
        return events

    def requests(self, method: str) -> list[dict[str, Any]]:
        return [request for request in self.asked if request["method"].endswith("/" + method)]

    def channels_asked(self, method: str) -> list[str]:
        return [
            channel
            for request in self.requests(method)
            for channel in request["params"]["channels"]
        ]

    def _reply(
        self, method: str, body: dict[str, Any], request: dict[str, Any] | None
    ) -> list[Event]:
        request = request or self.requests(method.split("/")[-1])[0]
        self.asked.remove(request)
        us = VENUE_US + int(self.now * 1e6)
        reply = {"jsonrpc": "2.0", "id": request["id"], "usIn": us, "usOut": us, **body}
        events = self.says(json.dumps(reply).encode())
        if request["method"] == "public/test":
            return events
        return [
            event for event in events if not isinstance(event, Tick)
        ]  # any answer can bring one

    def _collect(self, events: list[Event]) -> list[Event]:
        for message in self.session.outgoing():
            self.sent.append(message)
            self.asked.append(json.loads(message))
        self.events += events
        return events
