"""Closed windows of a partition on the topic `closed`: many in one record, for the history."""

from __future__ import annotations

import msgspec


class ClosedWindow(msgspec.Struct, array_like=True, gc=False):
    """A window as it was published, and what the history files it under."""

    instrument: str
    length_ms: int
    hop_ms: int
    """Time between the starts of two; the length, unless windows overlap."""
    start_ms: int
    value: bytes
    """The record of the topic `windows`."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[ClosedWindow])


def encode_closed(windows: list[ClosedWindow]) -> bytes:
    """Return the record value of closed windows."""
    return _encoder.encode(windows)


def decode_closed(value: bytes) -> list[ClosedWindow]:
    """Return the closed windows of a record; raise ValueError if it is none."""
    try:
        return _decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not closed windows: {error}") from error
