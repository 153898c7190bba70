"""A websocket server that answers like the venue, and does what a test tells it besides."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

PATIENCE_S = 25.0
"""How long a test waits for what is sure to come; only a busy machine makes it long."""

Answer = Callable[[dict[str, Any]], dict[str, Any] | None]


class ScriptedVenue:
    """Listens on loopback; every request waits in `requests` after it was answered."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.requests: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.connections: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self.connected_at: list[float] = []
        self.answer = answer or usual_answer
        self._server: Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/ws/api/v2"

    async def asked(self, method: str) -> dict[str, Any]:
        """Wait for the next request of a method."""
        async with asyncio.timeout(PATIENCE_S):
            while not (request := await self.requests.get())["method"].endswith("/" + method):
                pass
        return request

    async def __aenter__(self) -> Self:
        self._server = await serve(self._handle, "127.0.0.1", 0, max_size=1 << 20)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _handle(self, connection: ServerConnection) -> None:
        self.connected_at.append(asyncio.get_running_loop().time())
        self.connections.put_nowait(connection)
        try:
            async for text in connection:
                request = json.loads(text)
                body = self.answer(request)
                if body is not None:
                    reply = {"jsonrpc": "2.0", "id": request["id"], "usOut": 10**15, **body}
                    await connection.send(json.dumps(reply))
                self.requests.put_nowait(request)
        except ConnectionClosed:
            return


def usual_answer(request: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the venue answers when all is well."""
    match request["method"].split("/")[1]:
        case "hello" | "test":
            return {"result": {"version": "1.2.26"}}
        case "auth":
            return {"result": {"expires_in": 900}}
        case "get_instruments":
            return {"result": []}
        case "subscribe" | "unsubscribe":
            return {"result": request["params"]["channels"]}
        case _:
            return {"result": "ok"}


def failing(method: str, code: int) -> Answer:
    """Return an answer that is an error for one method, and usual for the others."""

    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        if request["method"].endswith("/" + method):
            return {"error": {"code": code, "message": "no"}}
        return usual_answer(request)

    return answer
