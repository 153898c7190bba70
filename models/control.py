"""Requests between agents, on the topic `control`."""

from __future__ import annotations

import msgspec


class ResyncRequest(msgspec.Struct, frozen=True):
    """The books agent asks the ingest agent for a new snapshot of an instrument.

    It names the session in which it missed something, so that a request which is read late, after
    that session has ended, asks for nothing.
    """

    instrument: str
    session: str
    is_ended: bool = False
    """Whether the session is taken for ended, because another has begun since, and still speaks:
    what it says is not heard any more, until it begins a new one."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ResyncRequest)


def encode_resync(request: ResyncRequest) -> bytes:
    """Return the record value: UTF-8 JSON."""
    return _encoder.encode(request)


def decode_resync(value: bytes) -> ResyncRequest:
    """Return the request of a value; raise ValueError if it is none."""
    try:
        return _decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a resync request: {error}") from error
