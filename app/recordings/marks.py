"""Marks: lines of a recording that say what happened between the venue's messages.

A mark is JSON, `{"method":"steelyard/NAME","params":{…}}`, in the place of a message of the venue.
Readers that do not know it find no channel in it and pass over it, as over an answer to a request.
Together with `null`, the disconnect, the marks are all that ingest puts into the feed beside
notifications, so that a recording leads to the windows that a worker publishes.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

_START: Final = b'{"method":"steelyard/'


class ConnectedMark(msgspec.Struct, frozen=True):
    """A session begins, whose ticks and subscriptions are recorded."""

    simulated: bool
    venue: str = ""
    """`deribit`, `deribit-test`, `simulated`: what it said of itself."""


class SubscribedMark(msgspec.Struct, frozen=True):
    """The venue has confirmed these channels, books and trades: they are known from here on."""

    channels: list[str]


class InstrumentMark(msgspec.Struct, frozen=True):
    """A mark with what the venue's list of instruments says of one (models/frame.py)."""

    instrument: str
    linear: bool | None = None
    tick_sizes: list[tuple[float, float]] = []
    price_index: str = ""


class GapMark(msgspec.Struct, frozen=True):
    """A break of one channel that its messages do not show: some of them were not kept."""

    channel: str
    expected: int | None
    """The change_id that the next change should have named as its predecessor."""
    found: int | None


class TickMark(msgspec.Struct, frozen=True):
    """The venue's clock as the session knew it, about once a second; for every instrument."""

    venue_ms: int
    """Venue time that every message before this line had been sent by, ms since the epoch."""
    quiet_ms: int
    """Time since anything at all had arrived on the session's socket."""


Mark = ConnectedMark | SubscribedMark | InstrumentMark | GapMark | TickMark

_NAMES: Final[dict[type, str]] = {
    ConnectedMark: "steelyard/connected",
    SubscribedMark: "steelyard/subscribed",
    InstrumentMark: "steelyard/instrument",
    GapMark: "steelyard/gap",
    TickMark: "steelyard/tick",
}


class _Line(msgspec.Struct):
    method: str
    params: msgspec.Raw


_lines = msgspec.json.Decoder(_Line)
_decoders: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    name: msgspec.json.Decoder(kind) for kind, name in _NAMES.items()
}


def encode_mark(mark: Mark) -> bytes:
    """Return the message that stands for a mark in a recording."""
    return msgspec.json.encode({"method": _NAMES[type(mark)], "params": mark})


def read_mark(message: bytes) -> Mark | None:
    """Return the mark that a message of a recording is; None if it is any other."""
    if not message.startswith(_START):
        return None
    try:
        line = _lines.decode(message)
        decoder = _decoders.get(line.method)
        mark: Mark | None = None if decoder is None else decoder.decode(line.params)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return mark
