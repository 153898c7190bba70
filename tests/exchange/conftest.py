"""A client that shares no code with the exchange: bare websockets and json."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from exchange import Config, Exchange

PATIENCE_S = 10.0


class Client:
    """Requests and notifications of one connection; raw texts are kept in order of arrival."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.texts: list[str] = []
        self._last_id = 0

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            text = await self.socket.recv()
        assert isinstance(text, str)
        self.texts.append(text)
        return json.loads(text)

    async def call(self, method: str, /, **params: Any) -> dict[str, Any]:
        self._last_id += 1
        request = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        return await self.send(json.dumps(request))

    async def send(self, text: str | bytes) -> dict[str, Any]:
        """Send anything; returns the next message that is not a notification."""
        await self.socket.send(text)
        while True:
            message = await self.receive()
            if message.get("method") != "subscription":
                return message

    async def next(self, channel: str) -> Any:
        """The data of the channel's next notification."""
        while True:
            message = await self.receive()
            if message.get("params", {}).get("channel") == channel:
                return message["params"]["data"]

    async def login(self) -> None:
        reply = await self.call(
            "public/auth",
            grant_type="client_credentials",
            client_id="demo",
            client_secret="demo-secret",
        )
        assert "result" in reply


Start = Callable[..., Awaitable[Exchange]]
Connect = Callable[[Exchange], Awaitable[Client]]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def start(stack: AsyncExitStack) -> Start:
    async def start(**settings: Any) -> Exchange:
        return await stack.enter_async_context(Exchange(Config(**settings)))

    return start


@pytest.fixture
def client_of(stack: AsyncExitStack) -> Connect:
    async def client_of(exchange: Exchange) -> Client:
        socket = connect(exchange.url, compression=None, max_size=None, ping_interval=None)
        return Client(await stack.enter_async_context(socket))

    return client_of


@pytest.fixture
async def fast_client(start: Start, client_of: Connect) -> Client:
    """A client of a venue whose time runs ten times as fast."""
    return await client_of(await start(instruments=1, rate=8, speed=10))


@pytest.fixture
async def client(start: Start, client_of: Connect) -> Client:
    """A client of a small, lively venue with the control methods on."""
    return await client_of(await start(instruments=3, rate=20, control=True))
