"""The websocket shell around venue, hub and protocol.

async with Exchange(Config(control=True)) as exchange:
    connect(exchange.url)
"""

import asyncio
import time
from collections import deque
from contextlib import ExitStack, suppress
from itertools import count
from types import TracebackType
from typing import NamedTuple, Self
from weakref import WeakSet

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from exchange.call_faults import CallFaults
from exchange.config import Config
from exchange.connection import CLOSE_TIMEOUT_S, Connection
from exchange.fault_target import FaultTarget
from exchange.faults import make
from exchange.hub import Hub
from exchange.model import Model
from exchange.params import Params
from exchange.player import Player
from exchange.protocol import Protocol
from exchange.scenario import play, read_scenario
from exchange.truth import Truth
from exchange.venue import Venue

PATH = "/ws/api/v2"
MAX_FRAME_BYTES = 1 << 20  # above the venue's own limit of 32 kB, so that it can answer
END_TIMEOUT_S = 1.0


HANDSHAKES_KEPT = 10_000
CROWDED_STATUS = 429


class Handshake(NamedTuple):
    """A client that knocked: when (monotonic), and whether it was let in (101) or refused."""

    at_s: float
    status: int


class Exchange:
    """A running venue. Enter it to listen; leave it to close everything within 2 s."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.hub = Hub()
        self.call_faults = CallFaults()
        self.handshakes: deque[Handshake] = deque(maxlen=HANDSHAKES_KEPT)
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
        self.hub.transit.mark(channel, "drop", count)

    def fault(self, name: str, /, **params: object) -> object:
        """Make a fault (faults.py) now; raises RpcError for one that cannot be made."""
        return make(name, Params(params))(self.target)

    async def run(self) -> None:
        """Wait for the venue to fail; it never ends by itself."""
        assert self._running is not None, "enter the exchange first"
        await asyncio.shield(self._running)

    async def __aenter__(self) -> Self:
        with self._stack:
            truth = self._stack.enter_context(Truth(self.config.truth))
            self.venue = _venue(self.config, self.hub, truth)
            self.target = FaultTarget(self.hub, self.venue, self.call_faults)
            self.protocol = Protocol(self.target, self.config)
            scenario = read_scenario(self.config.scenario)
            numbers = count(1)

            async def handle(socket: ServerConnection) -> None:
                self._sockets.add(socket)
                number = next(numbers)
                await Connection(socket, self.hub, self.protocol, self.config, number).serve()

            self._server = await serve(
                handle,
                self.config.host,
                self.config.port,
                process_request=self._greet,
                max_size=MAX_FRAME_BYTES,
                ping_interval=None,  # liveness is the JSON heartbeat's business here
                close_timeout=CLOSE_TIMEOUT_S,
            )
            self._stack = self._stack.pop_all()  # nothing failed: what is open stays open
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        self._running = asyncio.create_task(self.venue.run(), name="venue")
        self._playing = asyncio.create_task(play(scenario, self.target), name="scenario")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._running is not None
        assert self._server is not None
        for task in (self._playing, self._running):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._server.close()
        # wait_closed() would wait for peers that do not read; they are not worth waiting for.
        await asyncio.wait([asyncio.create_task(self._server.wait_closed())], timeout=END_TIMEOUT_S)
        for socket in self._sockets:
            socket.transport.abort()
        await self._server.wait_closed()
        self._stack.close()

    def _greet(self, socket: ServerConnection, request: Request) -> Response | None:
        """Refuse a handshake if that was ordered, or if there are too many connections."""
        status = self.call_faults.of_handshake()
        if status is None and len(self.hub.connections) >= self.config.max_connections:
            status = CROWDED_STATUS
        self.handshakes.append(Handshake(time.monotonic(), status or 101))
        return None if status is None else socket.respond(status, f"simulated {status}\n")


def _venue(config: Config, hub: Hub, truth: Truth) -> Venue:
    if config.recording is None:
        return Model(config, hub, truth)
    return Player(config, hub, truth)
