"""One client's connection: requests in, answers, notifications and heartbeats out.

`send` is the seam: every message to a client passes through it.
"""

import asyncio
import time
from contextlib import suppress

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.exceptions import ConnectionClosed

from exchange.config import Config
from exchange.hub import CLOSE_TOO_SLOW, TOO_SLOW, Hub
from exchange.protocol import Protocol
from exchange.session import Session

CLOSE_HEARTBEAT = 4000
CLOSE_TIMEOUT_S = 0.5

HEARTBEATS = {
    kind: f'{{"params":{{"type":"{kind}"}},"method":"heartbeat","jsonrpc":"2.0"}}'.encode()
    for kind in ("heartbeat", "test_request")
}


class Connection:
    """A subscriber (hub.py) with a socket."""

    def __init__(
        self, socket: ServerConnection, hub: Hub, protocol: Protocol, config: Config, number: int
    ) -> None:
        self._socket = socket
        self._hub = hub
        self._protocol = protocol
        self._session = Session(self, number=number, heartbeat_scale=config.heartbeat_scale)
        self._max_unsent_bytes = config.max_unsent_bytes
        self._timer: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self._is_mute = False  # aborted or frozen: nothing is sent any more

    def send(self, message: bytes, text: bool = True) -> None:
        """Send a message; never blocks, and gives up a reader that is far too slow."""
        if self._closing is not None or self._is_mute:
            return
        broadcast((self._socket,), message, text=text)
        unsent_bytes = self._socket.transport.get_write_buffer_size()
        if unsent_bytes > max(self._max_unsent_bytes, 2 * len(message)):
            self.close(CLOSE_TOO_SLOW, TOO_SLOW)

    def notify(self, message: bytes, text: bool = True) -> None:
        self._session.told()
        self.send(message, text)

    async def drained(self) -> None:
        if self._is_mute:
            return
        with suppress(ConnectionError):
            await self._socket.drain()

    def cut(self) -> None:
        self._socket.transport.close()

    def abort(self) -> None:
        self._is_mute = True
        self._socket.transport.abort()

    def freeze(self) -> None:
        self._is_mute = True
        self._socket.transport.pause_reading()
        if self._timer is not None:
            self._timer.cancel()

    def close(self, code: int, reason: str) -> None:
        """Close with a code; a peer that does not read or answer is cut after CLOSE_TIMEOUT_S."""

        async def close() -> None:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._socket.close(code, reason)
            except TimeoutError:
                self.abort()

        if self._closing is None:
            self._closing = asyncio.create_task(close())

    async def serve(self) -> None:
        """Answer requests until the connection ends."""
        self._hub.connect(self)
        self._session.heard(time.monotonic())
        self._arm()
        try:
            while True:
                text = await self._socket.recv(decode=False)
                if self._is_mute:
                    continue
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
        if not self._is_mute:
            wait_s = max(0.0, self._session.wakes_at - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._wake)

    def _wake(self) -> None:
        for due in self._session.due(time.monotonic()):
            match due:
                case "heartbeat" | "test_request":
                    self.send(HEARTBEATS[due])
                case "heartbeat close":
                    self.close(CLOSE_HEARTBEAT, due)
                    return
                case "idle close":
                    self.cut()
                    return
        self._arm()
