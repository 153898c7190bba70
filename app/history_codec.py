"""History is kept in chunks of consecutive windows, one record of the table `history` a chunk.

The key is `instrument|length in ms|number of the chunk`, the length with its hop if the windows
overlap: `10000/1000`. The number is that of all such windows since the epoch, moved by a place that
the instrument has, divided by the chunk's size: a window's chunk follows from its name and start.
"""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from app.exact.record import BadRecord, pack, unpack
from orderbook.span import Span

VERSION: Final = 2
CHUNK_WINDOWS: Final = 12
"""A chunk is in memory until it is full: with 60 windows, those of a minute filled for an hour."""

Chunk = dict[int, bytes]
"""By start in ms: the window's JSON as it was published."""


class HistoryCodec:
    """Records of chunks."""

    def load(self, key: bytes, record: bytes) -> Chunk:
        """Return the chunk of a record; raise BadRecord."""
        _, payload = unpack(record, VERSION)
        try:
            return msgspec.msgpack.decode(payload, type=dict[int, bytes])
        except msgspec.MsgspecError as error:
            raise BadRecord(f"not a chunk of windows: {error}") from error

    def rebase(self, state: Chunk, position: int) -> None:
        """Do nothing: a chunk holds windows, whatever the offset they came from."""

    def dump(self, key: bytes, state: Chunk, position: int) -> bytes:
        """Return the record of a chunk."""
        return pack(VERSION, position, msgspec.msgpack.encode(dict(sorted(state.items()))))


def chunk_number(instrument: str, start_ms: int, span: Span) -> int:
    """Return the number of the chunk that a window belongs to.

    Each instrument has a place of its own where its chunks begin: if all had the same, all of them
    would be written by one commit (decision 15).
    """
    place = zlib.crc32(instrument.encode()) % CHUNK_WINDOWS
    return (start_ms // span.hop_ms + place) // CHUNK_WINDOWS


def chunk_key(instrument: str, span: Span, number: int) -> bytes:
    """Return the key of a chunk."""
    length, hop = span
    name = f"{length}/{hop}" if span.is_hopping else f"{length}"
    return f"{instrument}|{name}|{number}".encode()


def chunks_kept(windows: int) -> int:
    """Return how many chunks hold at least so many windows, whatever their place in a chunk."""
    return -(-windows // CHUNK_WINDOWS) + 1
