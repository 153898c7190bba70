"""One client's connection: requests in, answers, notifications and heartbeats out.

`send` is the seam: every message to a client passes through it. Messages of one moment are written
together: each in a frame of its own, but not each with a call of the system.
"""

import asyncio
import time
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import OPEN

from exchange.config import Config
from exchange.hub import CLOSE_TOO_SLOW, TOO_SLOW, Hub
from exchange.protocol import Protocol
from exchange.session import Session

CLOSE_HEARTBEAT = 4000
CLOSE_TIMEOUT_S = 0.5
MAX_WAITING_BYTES = 4_096  # of frames that wait for the end of the turn: under 1 ms of the model

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
        self._writing: asyncio.Handle | None = None  # at the end of the loop's turn
        self._waiting_bytes = 0
        self._is_mute = False  # aborted or frozen: nothing is sent any more

    def send(self, message: bytes, text: bool = True) -> None:
        """Send a message; never blocks, and gives up a reader that is far too slow."""
        protocol = self._socket.protocol
        if self._closing is not None or self._is_mute or protocol.state is not OPEN:
            return
        if text:
            protocol.send_text(message)
        else:
            protocol.send_binary(message)
        self._waiting_bytes += len(message)
        if self._waiting_bytes >= MAX_WAITING_BYTES:
            self._write(len(message))
        elif self._writing is None:
            self._writing = asyncio.get_running_loop().call_soon(self._write)

    def notify(self, message: bytes, text: bool = True) -> None:
        self._session.told()
        self.send(message, text)

    async def drained(self) -> None:
        if self._is_mute:
            return
        self._write()
        with suppress(ConnectionError):
            await self._socket.drain()

    def cut(self) -> None:
        self._write()
        self._socket.transport.close()

    def abort(self) -> None:
        self._is_mute = True
        self._socket.transport.abort()

    def freeze(self) -> None:
        self._write()
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

    def _write(self, longest_bytes: int = 0) -> None:
        """Hand over to the operating system what waits."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        self._waiting_bytes = 0
        if self._is_mute:
            return
        transport = self._socket.transport
        # Frames only: an end of the stream is written by the library as soon as it is decided.
        frames = self._socket.protocol.data_to_send()
        if frames:
            transport.write(b"".join(frames))
        if transport.get_write_buffer_size() > max(self._max_unsent_bytes, 2 * longest_bytes):
            self.close(CLOSE_TOO_SLOW, TOO_SLOW)

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
