"""A closed window on the topic `windows`: one flat JSON object, fields as in docs/measures.md."""

from __future__ import annotations

from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()


def encode_window(record: dict[str, Any]) -> bytes:
    """Return the record value of a window: UTF-8 JSON, fields in their order, shortest numbers."""
    return _encoder.encode(record)
