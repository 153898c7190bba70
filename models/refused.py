"""Records of the topic `refused`: what was not understood, why, from where, and its bytes."""

from __future__ import annotations

import base64
from typing import Final

import msgspec

MAX_MESSAGE_BYTES: Final = 64 * 1024
"""Of a longer message only the beginning is kept; its full length is said."""


def refused_record(
    *,
    reason: str,
    instrument: str,
    session: str,
    topic: str,
    partition: int,
    offset: int | None,
    place: int,
    message: bytes,
) -> bytes:
    """Return the record value: UTF-8 JSON, the message as text if it is text, else in base64.

    `topic`, `partition`, `offset` and `place` (item of the frame) say where the message stands;
    offset is None if it was refused before it reached Kafka.
    """
    kept = message[:MAX_MESSAGE_BYTES]
    record: dict[str, object] = {
        "reason": reason[:1_000],
        "instrument": instrument,
        "session": session,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "place": place,
        "message_bytes": len(message),
    }
    try:
        record["message"] = kept.decode()
    except UnicodeDecodeError:
        record["message_base64"] = base64.b64encode(kept).decode()
    return msgspec.json.encode(record)
