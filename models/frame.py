"""A frame is one Kafka record of the `feed` topic: whatever arrived for one instrument in one turn.

Faust's cost is per record (150–300 µs), so many notifications travel in one. Each is kept exactly
as it came, byte for byte; what happened to the connection stands between them as marks, so that a
replay of the topic reproduces not only the data but also its breaks.

Frames of one instrument within one session are numbered from 1 without a hole. A session is one
websocket connection of one worker; its name is unique, and says nothing about order: the order of
the log decides which session is the current one. An instrument that was given up and comes back to
the same connection comes back in a session of its own, `NAME+1`, `NAME+2`, …: another worker may
have had it meanwhile, and what is late of the first must not be taken for the second.
"""

from __future__ import annotations

from typing import Final

import msgspec

FRAME_VERSION: Final = 1
RETURN_MARK: Final = "+"
MAX_FRAME_ITEMS: Final = 1_000
MAX_ANNOUNCEMENTS: Final = 256
"""What the venue says of all instruments, kept for those that are followed later; the venue has
some dozens of price indices, and only what changes is an announcement."""
MAX_FRAME_BYTES: Final = 256 * 1024
"""A frame is closed when it reaches this; one larger notification travels in a frame of its own."""


class Notification(msgspec.Struct, frozen=True, array_like=True, tag="n"):
    """A message of the venue about the frame's instrument, as it came."""

    received_ns: int
    """Receive time, ns since the epoch, by the ingesting worker's clock."""
    message: bytes


class Connected(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """The session begins for this instrument; nothing of an earlier session continues."""

    received_ns: int
    worker: str
    simulated: bool
    venue: str = ""
    """`deribit`, `deribit-test`, `simulated`: what it said of itself; empty if it said nothing."""


class Disconnected(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """The session ends for this instrument; the book is not known from here on."""

    received_ns: int
    reason: str


class TradesFollowed(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """The venue has confirmed the instrument's trades channel, or it was given up."""

    received_ns: int
    is_followed: bool


class GapFound(msgspec.Struct, frozen=True, array_like=True, tag="g"):
    """Ingest saw a change that does not follow and has asked the venue for a new snapshot."""

    received_ns: int
    channel: str
    expected: int | None
    """The change_id that the change should have named as its predecessor."""
    found: int | None


class Tick(msgspec.Struct, frozen=True, array_like=True, tag="t"):
    """The venue's clock as the session knows it, about once a second, so idle windows close."""

    received_ns: int
    venue_ms: int
    """Venue time that every notification before this tick had been sent by, ms since the epoch."""
    quiet_ms: int
    """Time since anything at all arrived on the session's socket."""


class Described(msgspec.Struct, frozen=True, array_like=True, tag="i"):
    """An item with what the venue's list of instruments says of this one, as far as it matters."""

    received_ns: int
    linear: bool | None = None
    """Whether amounts are in the base coin, not in USD; None where the list does not say."""
    tick_sizes: list[tuple[float, float]] = []
    """(price, tick): the tick above that price, from 0 up; empty where the list does not say."""
    price_index: str = ""
    """The index whose lock stops this instrument: `btc_usd`."""


Item = Notification | Connected | Disconnected | TradesFollowed | GapFound | Tick | Described


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """A frame: what arrived for one instrument in one turn of the loop."""

    version: int
    instrument: str
    """Empty in a frame of ticks, which is for every instrument of its partition and session."""
    channel: str
    """The incremental book channel that the session follows for this instrument."""
    session: str
    sequence: int
    """1, 2, 3, … per (session, instrument); 0 in a frame of ticks."""
    items: list[Item]


def connection_of(session: str) -> str:
    """Return the session that ticks of the same connection carry."""
    return session.partition(RETURN_MARK)[0]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def encode_frame(frame: Frame) -> bytes:
    """Return the record value of a frame."""
    return _encoder.encode(frame)


def decode_frame(value: bytes) -> Frame:
    """Return the frame of a record value; raise ValueError, with the reason, if it is none."""
    try:
        frame = _decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a frame: {error}") from error
    if frame.version != FRAME_VERSION:
        raise ValueError(f"frame version {frame.version} is not {FRAME_VERSION}")
    return frame
