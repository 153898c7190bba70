"""Clients of the streams: they read events, and wait for the one they want."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import ClientResponse, ClientWebSocketResponse, WSMsgType

from models.answers import EndEvent, HeartbeatEvent, StatesEvent, WindowsEvent

PATIENCE_S = 20.0
MODELS = {
    "states": StatesEvent,
    "windows": WindowsEvent,
    "heartbeat": HeartbeatEvent,
    "end": EndEvent,
}


class Events:
    """The events of a stream, each checked against its schema."""

    def __init__(self, answer: ClientResponse) -> None:
        self.answer = answer
        self.last_id: str | None = None
        self._events = self._read()

    async def _read(self) -> AsyncIterator[dict[str, Any]]:
        name = data = None
        async for line in self.answer.content:
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "id":
                self.last_id = value
            elif field == "event":
                name = value
            elif field == "data":
                data = value
            elif not field and data is not None:
                event = json.loads(data)
                assert event["type"] == name
                MODELS[name].model_validate_json(data)
                yield event
                name = data = None

    async def next(self, wanted: Callable[[dict[str, Any]], bool] | str = "") -> dict[str, Any]:
        """Return the next event that is wanted: of a type, or as a function says."""
        async with asyncio.timeout(PATIENCE_S):
            async for event in self._events:
                if is_wanted(event, wanted):
                    return event
        raise AssertionError("the stream has ended")


async def receive(
    ws: ClientWebSocketResponse, wanted: Callable[[dict[str, Any]], bool] | str = ""
) -> dict[str, Any]:
    """Return the next message of a WebSocket that is wanted."""
    async with asyncio.timeout(PATIENCE_S):
        async for message in ws:
            assert message.type is WSMsgType.TEXT
            event = json.loads(message.data)
            if event["type"] in MODELS:
                MODELS[event["type"]].model_validate_json(message.data)
            if is_wanted(event, wanted):
                return event
    raise AssertionError(f"the socket has closed with {ws.close_code}")


def is_wanted(event: dict[str, Any], wanted: Callable[[dict[str, Any]], bool] | str) -> bool:
    if callable(wanted):
        return wanted(event)
    return wanted in ("", event["type"])


def names(event: dict[str, Any]) -> list[str]:
    """Return the instruments of an event of states."""
    return sorted(row["instrument"] for row in event["states"])
