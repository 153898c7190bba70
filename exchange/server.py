"""The websocket shell around venue, hub and protocol.

async with Exchange(Config(control=True)) as exchange:
    connect(exchange.url)
"""

import asyncio
import time
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self
from weakref import WeakSet

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from exchange.config import Config
from exchange.hub import Hub
from exchange.model import Model
from exchange.player import Player
from exchange.protocol import Protocol
from exchange.session import Session
from exchange.truth import Truth
from exchange.venue import Venue

PATH = "/ws/api/v2"
MAX_FRAME_BYTES = 1 << 20  # above the venue's own limit of 32 kB, so that it can answer
CLOSE_HEARTBEAT = 4000
CLOSE_TIMEOUT_S = 0.5
END_TIMEOUT_S = 1.0

HEARTBEATS = {
    kind: f'{{"params":{{"type":"{kind}"}},"method":"heartbeat","jsonrpc":"2.0"}}'.encode()
    for kind in ("heartbeat", "test_request")
}


class Connection:
    """One client. `send` is the seam: every message to a client passes through it."""

    def __init__(
        self, socket: ServerConnection, hub: Hub, protocol: Protocol, config: Config
    ) -> None:
        self._socket = socket
        self._hub = hub
        self._protocol = protocol
        self._session = Session(self, heartbeat_scale=config.heartbeat_scale)
        self._max_unsent_bytes = config.max_unsent_bytes
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._aborted = False

    def send(self, message: bytes) -> None:
        """Send a text message; never blocks, and gives up a reader that is far too slow."""
        if self._closing is not None or self._aborted:
            return
        broadcast((self._socket,), message, text=True)
        if self._socket.transport.get_write_buffer_size() > self._max_unsent_bytes:
            self.abort()  # a closing handshake would have to wait behind all of it

    def notify(self, message: bytes) -> None:
        self._session.told()
        self.send(message)

    async def drained(self) -> None:
        with suppress(ConnectionError):
            await self._socket.drain()

    def cut(self) -> None:
        self._socket.transport.close()

    def abort(self) -> None:
        """End the connection at once; what the peer has not read is lost."""
        self._aborted = True
        self._socket.transport.abort()

    async def serve(self) -> None:
        """Answer requests until the connection ends."""
        self._hub.connect(self)
        self._session.heard(time.monotonic())
        self._arm()
        try:
            while True:
                text = await self._socket.recv(decode=False)
                self._session.heard(time.monotonic())
                for message in self._protocol.answer(self._session, text):
                    self.send(message.encode())
                if self._session.ends:
                    self.cut()
                self._arm()
        except ConnectionClosed:
            return
        finally:
            self._hub.disconnect(self)
            if self._timer is not None:
                self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        wait_s = max(0.0, self._session.wakes_at - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._wake)

    def _wake(self) -> None:
        for due in self._session.due(time.monotonic()):
            match due:
                case "heartbeat" | "test_request":
                    self.send(HEARTBEATS[due])
                case "heartbeat close":
                    self._close(CLOSE_HEARTBEAT, "heartbeat close")
                    return
                case "idle close":
                    self.cut()
                    return
        self._arm()

    def _close(self, code: int, reason: str) -> None:
        """Close with a code; a peer that does not read or answer is cut after CLOSE_TIMEOUT_S."""

        async def close() -> None:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._socket.close(code, reason)
            except TimeoutError:
                self.abort()

        if self._closing is None:
            self._closing = asyncio.create_task(close())


class Exchange:
    """A running venue. Enter it to listen; leave it to close everything within 2 s."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.hub = Hub()
        self.port = 0
        self._stack = ExitStack()
        # websockets' own list leaves out those whose closing handshake hangs.
        self._sockets: WeakSet[ServerConnection] = WeakSet()
        self._server: Server | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"ws://{self.config.host}:{self.port}{PATH}"

    def drop_connections(self) -> None:
        """Cut every connection without a closing handshake."""
        self.hub.cut_all()

    def skip_next(self, channel: str, count: int = 1) -> None:
        """Make the channel's next notifications vanish: a gap."""
        self.hub.skip(channel, count)

    async def run(self) -> None:
        """Wait for the venue to fail; it never ends by itself."""
        assert self._running is not None, "enter the exchange first"
        await asyncio.shield(self._running)

    async def __aenter__(self) -> Self:
        with self._stack:
            truth = self._stack.enter_context(Truth(self.config.truth))
            self.venue = _venue(self.config, self.hub, truth)
            protocol = Protocol(self.venue, self.hub, self.config)

            async def handle(socket: ServerConnection) -> None:
                self._sockets.add(socket)
                await Connection(socket, self.hub, protocol, self.config).serve()

            self._server = await serve(
                handle,
                self.config.host,
                self.config.port,
                max_size=MAX_FRAME_BYTES,
                ping_interval=None,  # liveness is the JSON heartbeat's business here
                close_timeout=CLOSE_TIMEOUT_S,
            )
            self._stack = self._stack.pop_all()  # nothing failed: what is open stays open
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        self._running = asyncio.create_task(self.venue.run(), name="venue")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._running is not None
        assert self._server is not None
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        self._server.close()
        # wait_closed() would wait for peers that do not read; they are not worth waiting for.
        await asyncio.wait([asyncio.create_task(self._server.wait_closed())], timeout=END_TIMEOUT_S)
        for socket in self._sockets:
            socket.transport.abort()
        await self._server.wait_closed()
        self._stack.close()


def _venue(config: Config, hub: Hub, truth: Truth) -> Venue:
    if config.recording is None:
        return Model(config, hub, truth)
    return Player(config, hub, truth)
