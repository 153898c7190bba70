"""A websocket whose messages are handed on in the very call that brings their bytes.

What a venue sends is nearly always one text frame, whole and unmasked. Such a frame is cut out of
what was read, and the library never sees it: its parser, its queue and a switch of tasks cost more
than all that is then done with the message. Everything else (handshake, pings, fragments, binary,
closing, what breaks the protocol or the limit) goes to the library, frame by frame, and what that
makes of it comes back in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CONT, DATA_OPCODES, Frame
from websockets.protocol import Event, State

MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""All instruments of the venue are 5.1 MB; of its futures, what we ask for, under 1 MB."""

OnMessages = Callable[[list[bytes]], None]
"""Takes messages, as many as one read has brought, in order. What it raises ends the connection."""

_TEXT: Final = 0x81
"""The first byte of a frame that is a whole text."""
_MASKED: Final = 0x80
_TWO_BYTES: Final = 126
"""What says, in place of the length, that it follows in two bytes; 127: in eight."""
_HEAD_BYTES: Final = 2


class FastConnection(ClientConnection):
    """A connection that calls who listens; `recv` has no messages, only the end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._take: Callable[[bytes], None] = self._shake_hands
        """What is to be done with bytes that are read: first this; then `_split`, until they break
        the protocol or the connection is not open any more; then all is the library's."""
        self._on_messages: OnMessages | None = None
        self._messages: list[bytes] = []
        """Whole ones that were not handed on yet."""
        self._fragments: bytearray | None = None
        """The beginning of a message in fragments, while there is one."""
        self._room_bytes = MAX_MESSAGE_BYTES
        """How large the next frame may be."""
        self._unread = bytearray()
        """The beginning of a frame that is not whole."""
        self._needed_bytes = 0
        """How long `unread` has to be before it is worth looking at again."""
        self._failure: Exception | None = None

    def listen(self, on_messages: OnMessages) -> None:
        """Hand on what came since the handshake, and from now on what comes."""
        self._on_messages = on_messages
        if self._messages:
            self._hand_on()
        self.transport.resume_reading()

    async def end(self) -> ConnectionClosed:
        """Wait for the end of the connection and return why; raise what the listener raised."""
        try:
            await self.recv()
        except ConnectionClosed as closed:
            if self._failure is not None:
                raise self._failure from None
            return closed
        raise AssertionError("a message took the way that was closed to it")

    # What asyncio and the library call

    def data_received(self, data: bytes) -> None:
        """Take what was read from the socket."""
        self._take(data)
        if self._messages:
            self._hand_on()

    def process_event(self, event: Event) -> None:
        """Take what the library has found."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        if event.opcode is not CONT:
            self._fragments = bytearray()
        assert self._fragments is not None, "the library lets no message begin in the middle"
        self._fragments += event.data
        self._room_bytes -= len(event.data)
        if event.fin:
            self._messages.append(bytes(self._fragments))
            self._fragments = None
            self._room_bytes = MAX_MESSAGE_BYTES

    # How it is done

    def _shake_hands(self, data: bytes) -> None:
        """Let the library read the answer to the handshake, line by line, so no further."""
        begin = 0
        while begin < len(data):
            end = data.find(b"\n", begin) + 1 or len(data)
            super().data_received(data[begin:end])
            begin = end
            if self.state is not State.CONNECTING:
                self._take = self._split
                self._split(data[begin:])
                return

    def _split(self, data: bytes) -> None:
        """Take whole frames out of the data: messages from here, all else from the library."""
        if self._unread:
            self._unread += data
            if len(self._unread) < self._needed_bytes:
                return
            data = bytes(self._unread)
            self._unread.clear()
        size, begin = len(data), 0
        while size - begin >= _HEAD_BYTES:
            length = data[begin + 1]
            start = begin + _HEAD_BYTES
            if length >= _TWO_BYTES:
                start += 2 if length == _TWO_BYTES else 8
                if length >= _MASKED:
                    self._leave(data[begin:])
                    return
                if start > size:
                    needed_bytes = start - begin
                    break
                length = int.from_bytes(data[begin + _HEAD_BYTES : start], "big")
            if length > self._room_bytes:
                self._leave(data[begin:])
                return
            end = start + length
            if end > size:
                needed_bytes = end - begin
                break
            if data[begin] == _TEXT and self._fragments is None:
                self._messages.append(data[start:end])
            else:
                super().data_received(data[begin:end])
                if self.state is not State.OPEN:
                    self._leave(data[end:])
                    return
            begin = end
        else:
            needed_bytes = _HEAD_BYTES
        if begin < size:
            self._unread += data[begin:]
            self._needed_bytes = needed_bytes

    def _leave(self, data: bytes) -> None:
        """Let the library judge of these bytes, and of all that follow: fail, close, discard."""
        self._take = super().data_received
        if data:
            self._take(data)

    def _hand_on(self) -> None:
        """Hand on the messages there are; what nobody listens to yet stops the reading."""
        if self._on_messages is None:
            self.transport.pause_reading()
            return
        messages, self._messages = self._messages, []
        try:
            self._on_messages(messages)
        except Exception as error:
            self._failure = error
            self._on_messages = _ignore
            self.transport.abort()


def _ignore(messages: list[bytes]) -> None:
    """Drop what comes after a failure, until the connection is lost."""
