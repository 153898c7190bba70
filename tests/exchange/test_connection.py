"""When a connection writes: once for the messages of a moment, and never late or out of order."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from exchange.config import Config
from exchange.connection import MAX_WAITING_BYTES, Connection
from exchange.hub import Hub
from exchange.protocol import Protocol as Venue


class Transport:
    """Keeps what is written, in the order of the calls."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.calls: list[str] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.calls.append("write")

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def messages(self) -> list[tuple[Opcode, bytes]]:
        """What a client reads of it."""
        client = Protocol(CLIENT, max_size=None)
        client.receive_data(b"".join(self.written))
        events = client.events_received()
        assert all(isinstance(event, Frame) for event in events)
        return [(event.opcode, bytes(event.data)) for event in cast(list[Frame], events)]


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
async def connection(transport: Transport) -> Connection:
    socket = SimpleNamespace(protocol=Protocol(SERVER), transport=transport)
    return Connection(
        cast(ServerConnection, socket), Hub(), cast(Venue, None), Config(instruments=1, rate=8), 1
    )


async def test_messages_of_a_turn_are_written_together(
    connection: Connection, transport: Transport
) -> None:
    connection.send(b'{"a":1}')
    connection.notify(b'{"b":2}')
    connection.send(b"\xff", text=False)
    assert transport.calls == []
    await asyncio.sleep(0)
    assert transport.calls == ["write"]
    assert transport.messages() == [
        (Opcode.TEXT, b'{"a":1}'),
        (Opcode.TEXT, b'{"b":2}'),
        (Opcode.BINARY, b"\xff"),
    ]


async def test_a_long_turn_does_not_hold_messages_back(
    connection: Connection, transport: Transport
) -> None:
    message = b"x" * (MAX_WAITING_BYTES // 4)
    for _ in range(9):
        connection.send(message)
    assert transport.calls == ["write", "write"]
    await asyncio.sleep(0)
    assert transport.calls == ["write", "write", "write"]
    assert transport.messages() == [(Opcode.TEXT, message)] * 9


@pytest.mark.parametrize(("end", "call"), [("cut", "close"), ("freeze", "pause")])
async def test_what_was_handed_over_goes_out_before_the_end(
    connection: Connection, transport: Transport, end: str, call: str
) -> None:
    connection.send(b"last")
    getattr(connection, end)()
    assert transport.calls == ["write", call]
    await asyncio.sleep(0)
    assert transport.messages() == [(Opcode.TEXT, b"last")]


async def test_a_connection_that_is_aborted_writes_no_more(
    connection: Connection, transport: Transport
) -> None:
    connection.send(b"lost")
    connection.abort()
    connection.send(b"lost too")
    await asyncio.sleep(0)
    assert transport.calls == ["abort"]
