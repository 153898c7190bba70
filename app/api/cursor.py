"""Where an answer in pages goes on: opaque to clients, checked when it comes back."""

from __future__ import annotations

import base64
import binascii
from typing import Final, NamedTuple

import msgspec

from app.api.problems import bad_parameter

MAX_CURSOR_CHARS: Final = 256


class Cursor(NamedTuple):
    """The windows that are still to be given."""

    instrument: str
    length: str
    from_ms: int
    to_ms: int


_decoder = msgspec.msgpack.Decoder(Cursor)


def encode_cursor(cursor: Cursor) -> str:
    """Return a cursor as text for a URL."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).rstrip(b"=").decode()


def decode_cursor(text: str, instrument: str) -> Cursor:
    """Return the cursor of a text; raise a 400 problem if it was not made here, for this."""
    try:
        if len(text) > MAX_CURSOR_CHARS:
            raise ValueError("too long")
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        cursor = _decoder.decode(base64.b64decode(padded, b"-_", validate=True))
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        detail = "it is not one that was given in next_cursor"
        raise bad_parameter("cursor", detail) from error
    if cursor.instrument != instrument or not 0 <= cursor.from_ms < cursor.to_ms:
        raise bad_parameter("cursor", "it belongs to another question")
    return cursor
