"""The reader against the library that it is a short cut of: the same bytes, the same messages."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode
from websockets.uri import parse_uri
from websockets.utils import accept_key, apply_mask

from deribit.frame_reader import MAX_MESSAGE_BYTES, FastConnection

TEXT, BINARY, CONT, CLOSE = Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.CLOSE
PING, PONG = Opcode.PING, Opcode.PONG
PATIENCE_S = 25.0


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_paused = False
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.is_aborted = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return


def opening(connection: ClientConnection) -> bytes:
    """Return the venue's answer to the handshake that a connection begins."""
    protocol = connection.protocol
    protocol.send_request(protocol.connect())
    connection.send_data()
    accept = accept_key(protocol.key)
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ).encode()


def made(kind: type[ClientConnection]) -> tuple[ClientConnection, Wire]:
    protocol = ClientProtocol(parse_uri("ws://venue/"), max_size=MAX_MESSAGE_BYTES)
    connection, wire = kind(protocol, ping_interval=None), Wire()
    connection.connection_made(wire)
    return connection, wire


def opened() -> tuple[FastConnection, Wire, list[list[bytes]]]:
    """Return a reader whose handshake is done, and what it hands on, read by read."""
    reader, wire = made(FastConnection)
    assert isinstance(reader, FastConnection)
    reader.data_received(opening(reader))
    heard: list[list[bytes]] = []
    reader.listen(heard.append)
    return reader, wire, heard


def told(opcode: Opcode, data: bytes = b"", fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=False)


def sent_frames(written: bytes) -> list[tuple[int, bytes]]:
    """Return what a client wrote after its request, without the masks, which are random."""
    rest, found = written.partition(b"\r\n\r\n")[2], []
    while rest:
        length = rest[1] & 0x7F
        assert length < 126, "a client answers with short frames"
        found.append((rest[0], apply_mask(rest[6 : 6 + length], rest[2:6])))
        rest = rest[6 + length :]
    return found


class Heard(NamedTuple):
    """What came of a stream of bytes."""

    messages: list[bytes]
    written: list[tuple[int, bytes]]
    received: Close | None
    sent: Close | None
    response: int | None


async def heard_by(kind: type[ClientConnection], stream: bytes, cuts: list[int]) -> Heard:
    """Feed a stream in pieces, then its end."""
    connection, wire = made(kind)
    messages: list[bytes] = []
    if isinstance(connection, FastConnection):
        connection.listen(messages.extend)
    whole = opening(connection) + stream
    bounds = [0, *sorted(cut % len(whole) for cut in cuts), len(whole)]
    for begin, end in itertools.pairwise(bounds):
        if begin < end:
            connection.data_received(whole[begin:end])
    connection.eof_received()
    connection.connection_lost(None)
    async with asyncio.timeout(PATIENCE_S):
        if isinstance(connection, FastConnection):
            closed = await connection.end()
        else:
            try:
                while True:
                    messages.append(await connection.recv(decode=False))
            except ConnectionClosed as error:
                closed = error
    response = connection.response.status_code if connection.response else None
    return Heard(messages, sent_frames(wire.written), closed.rcvd, closed.sent, response)


def usual(rng: random.Random) -> Iterator[bytes]:
    """Yield frames that a venue might send."""
    for _ in range(rng.randrange(12)):
        size = rng.choice((0, 1, 125, 126, 300, 65_535, 65_536, rng.randrange(2_000)))
        match rng.randrange(8):
            case 0:
                yield told(rng.choice((PING, PONG)), rng.randbytes(rng.randrange(126)))
            case 1:
                yield told(BINARY, rng.randbytes(size))
            case 2:
                yield told(rng.choice((TEXT, BINARY)), rng.randbytes(size), fin=False)
                for _ in range(rng.randrange(3)):
                    yield told(CONT, rng.randbytes(rng.randrange(200)), fin=False)
                    if rng.random() < 0.5:
                        yield told(PING, b"between")
                yield told(CONT, rng.randbytes(rng.randrange(200)))
            case _:
                yield told(TEXT, rng.randbytes(size))


WRONG = {
    "masked": bytes((0x81, 0x85)) + b"maskhello",
    "masked, long": bytes((0x81, 0xFE, 0x01, 0x00)) + bytes(260),
    "masked, as if it were short": bytes((0x81, 0xFF)) + (5).to_bytes(8, "big") + b"maskhello",
    "reserved bit": bytes((0xC1, 0x02)) + b"{}",
    "no such opcode": bytes((0x83, 0x01)) + b"x",
    "a fragment of nothing": told(CONT, b"x"),
    "a text within a text": told(TEXT, b"a", fin=False) + told(TEXT, b"b"),
    "a ping in fragments": bytes((0x09, 0x00)),
    "a long ping": bytes((0x89, 0x7E, 0x00, 0x7E)) + bytes(126),
    "above the limit": bytes((0x81, 0x7F)) + (MAX_MESSAGE_BYTES + 1).to_bytes(8, "big") + b"x",
    "above the limit in fragments": told(TEXT, bytes(70_000), fin=False)
    + bytes((0x80, 0x7F))
    + (MAX_MESSAGE_BYTES - 69_999).to_bytes(8, "big"),
    "no sense in a close": bytes((0x88, 0x01)) + b"x",
    "closed": told(CLOSE, Close(4001, "connection_too_slow").serialize()),
    "closed without a word": told(CLOSE),
    "closed within a text": told(TEXT, b"a", fin=False) + told(CLOSE, Close(1000, "").serialize()),
    "the end within a frame": told(TEXT, b"x" * 500)[:100],
    "the end within a head": bytes((0x81, 0x7E, 0x01)),
    "the end": b"",
}


@pytest.mark.parametrize("end", WRONG)
@pytest.mark.parametrize("seed", range(12))
async def test_it_hears_says_and_ends_as_the_library_does(end: str, seed: int) -> None:
    rng = random.Random(f"{end} {seed}")
    after = b"".join(usual(rng)) if rng.random() < 0.5 else told(TEXT, b"too late")
    stream = b"".join(usual(rng)) + WRONG[end] + (after if end[:7] != "the end" else b"")
    cuts = [rng.randrange(1 << 20) for _ in range(rng.choice((0, 1, 3, 30, 300)))]
    whole = await heard_by(ClientConnection, stream, cuts)
    assert await heard_by(FastConnection, stream, cuts) == whole
    assert whole.response == 101


async def test_a_refused_handshake_is_told_as_by_the_library() -> None:
    for kind in (ClientConnection, FastConnection):
        connection, _ = made(kind)
        opening(connection)
        refusal = b"HTTP/1.1 429 Too Many\r\nContent-Length: 8\r\n\r\nno\nmore\n"
        for begin in range(0, len(refusal), 7):
            connection.data_received(refusal[begin : begin + 7])
        assert connection.response is not None
        assert connection.response.status_code == 429
        assert connection.response.body == b"no\nmore\n"
        connection.connection_lost(None)


async def test_what_one_read_brings_is_handed_on_at_once_and_in_order() -> None:
    reader, _, heard = opened()
    fragments = told(TEXT, b"3", fin=False) + told(CONT, b"4")
    reader.data_received(told(TEXT, b"1") + told(BINARY, b"2") + fragments + told(TEXT, b"5"))
    assert heard == [[b"1", b"2", b"34", b"5"]]
    reader.data_received(told(TEXT, b"6"))
    assert heard[1:] == [[b"6"]]
    assert all(type(message) is bytes for read in heard for message in read)


async def test_a_message_in_many_reads_is_handed_on_with_the_last_one() -> None:
    reader, _, heard = opened()
    message = random.Random(1).randbytes(700_000)
    frame = told(TEXT, message) + told(TEXT, b"next")
    for begin in range(0, len(frame), 1_000):
        assert not heard
        reader.data_received(frame[begin : begin + 1_000])
    assert heard == [[message, b"next"]]


async def test_the_limit_is_of_each_message_not_of_all() -> None:
    reader, _, heard = opened()
    third = bytes(MAX_MESSAGE_BYTES // 3)
    for _ in range(2):
        reader.data_received(told(TEXT, third, fin=False) + told(CONT, third))
    reader.data_received(told(TEXT, bytes(MAX_MESSAGE_BYTES)))
    sizes = [len(message) for read in heard for message in read]
    assert sizes == [2 * len(third), 2 * len(third), MAX_MESSAGE_BYTES]


async def test_what_comes_before_anybody_listens_is_kept_and_no_more_is_read() -> None:
    reader, wire = made(FastConnection)
    assert isinstance(reader, FastConnection)
    reader.data_received(opening(reader) + told(TEXT, b"1") + told(TEXT, b"2") + b"\x81")
    assert wire.is_paused
    heard: list[list[bytes]] = []
    reader.listen(heard.append)
    assert heard == [[b"1", b"2"]]
    assert not wire.is_paused
    reader.data_received(b"\x013")
    assert heard[1:] == [[b"3"]]


async def test_a_ping_is_answered_between_messages() -> None:
    reader, wire, heard = opened()
    reader.data_received(told(TEXT, b"1") + told(PING, b"there?") + told(TEXT, b"2"))
    assert heard == [[b"1", b"2"]]
    assert sent_frames(wire.written) == [(0x8A, b"there?")]


async def test_what_comes_while_we_close_is_still_handed_on() -> None:
    reader, _, heard = opened()
    closing = asyncio.create_task(reader.close())
    await asyncio.sleep(0)
    reader.data_received(told(TEXT, b"1") + told(PING) + told(TEXT, b"2"))
    reader.data_received(told(CLOSE, Close(1000, "").serialize()) + told(TEXT, b"too late"))
    reader.connection_lost(None)
    assert heard == [[b"1", b"2"]]
    await asyncio.wait_for(closing, PATIENCE_S)
    assert (await reader.end()).rcvd == Close(1000, "")


async def test_an_error_of_who_listens_ends_the_connection_and_is_told() -> None:
    reader, wire, _ = opened()
    calls = 0

    def fail(messages: list[bytes]) -> None:
        nonlocal calls
        calls += 1
        raise LookupError("a bug")

    reader.listen(fail)
    reader.data_received(told(TEXT, b"1"))
    assert wire.is_aborted
    reader.data_received(told(TEXT, b"2"))
    reader.connection_lost(None)
    with pytest.raises(LookupError, match="a bug"):
        await reader.end()
    assert calls == 1
