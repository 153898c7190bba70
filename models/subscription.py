"""Records of the compacted topic `subscriptions`: what to ingest, one per instrument."""

from __future__ import annotations

import msgspec


class Subscription(msgspec.Struct, frozen=True):
    """Says that an instrument is, or is not, to be ingested, whatever the default set says."""

    instrument: str
    enabled: bool


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Subscription)


def encode_subscription(subscription: Subscription) -> bytes:
    """Return the record value: UTF-8 JSON."""
    return _encoder.encode(subscription)


def decode_subscription(value: bytes) -> Subscription:
    """Return the subscription of a value; raise ValueError if it is none."""
    try:
        return _decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a subscription: {error}") from error
