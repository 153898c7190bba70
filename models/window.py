"""A closed window on the topic `windows`: one flat JSON object, fields as in docs/measures.md."""

from __future__ import annotations

from typing import Any

import msgspec

from models.closed import ClosedWindow


class _Key(msgspec.Struct):
    instrument: str
    length_ms: int
    start_ms: int
    hop_ms: int | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Key)


def encode_window(record: dict[str, Any]) -> bytes:
    """Return the record value of a window: UTF-8 JSON, fields in their order, shortest numbers."""
    return _encoder.encode(record)


def decode_window(value: bytes) -> ClosedWindow:
    """Return the window of a record with what it is filed under; raise ValueError if it is none."""
    try:
        key = _decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a window: {error}") from error
    hop_ms = key.hop_ms or key.length_ms
    return ClosedWindow(key.instrument, key.length_ms, hop_ms, key.start_ms, value)
