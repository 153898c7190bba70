"""History is kept in chunks of consecutive windows, one record of the table `history` a chunk.

The key is `instrument|length in ms|number of the chunk`, the length with its hop if the windows
overlap: `10000/1000`. The number is that of all such windows since the epoch, moved by a place that
the instrument has, divided by the chunk's size: a window's chunk follows from its name and start.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Final

import msgspec

from faust_exact.state_record import BadRecord, check_read, check_written, pack, unpack
from orderbook.windows.span import Span

VERSION: Final = 3
CHUNK_WINDOWS: Final = 12
"""A chunk is in memory until it is full: with 60 windows, those of a minute filled for an hour."""


@dataclass(slots=True)
class Chunk:
    """Consecutive windows of one length of an instrument."""

    windows: dict[int, bytes] = field(default_factory=dict)
    """By start in ms: the window's JSON as it was published."""
    position: int = 0
    """Offset after the last record of `closed` that is included."""


class HistoryCodec:
    """Records of chunks."""

    def load(self, key: bytes, record: bytes) -> Chunk:
        """Return the chunk of a record; raise BadRecord."""
        position, payload = unpack(record, VERSION)
        try:
            content, windows = msgspec.msgpack.decode(payload, type=tuple[int, dict[int, bytes]])
        except msgspec.MsgspecError as error:
            raise BadRecord(f"not a chunk of windows: {error}") from error
        check_read(position, content)
        return Chunk(windows, position)

    def dump(self, key: bytes, state: Chunk, position: int) -> bytes:
        """Return the record of a chunk."""
        check_written(position, state.position)
        payload = state.position, dict(sorted(state.windows.items()))
        return pack(VERSION, position, msgspec.msgpack.encode(payload))


def chunk_number(instrument: str, start_ms: int, span: Span) -> int:
    """Return the number of the chunk that a window belongs to.

    Each instrument has a place of its own where its chunks begin: if all had the same, all of them
    would be written by one commit (decision 15).
    """
    place = zlib.crc32(instrument.encode()) % CHUNK_WINDOWS
    return (start_ms // span.hop_ms + place) // CHUNK_WINDOWS


def chunk_key(instrument: str, span: Span, number: int) -> bytes:
    """Return the key of a chunk."""
    return b"%b%d" % (chunk_prefix(instrument, span), number)


def chunk_prefix(instrument: str, span: Span) -> bytes:
    """Return what the keys of all chunks of an instrument's windows begin with."""
    length, hop = span
    name = f"{length}/{hop}" if span.is_hopping else f"{length}"
    return f"{instrument}|{name}|".encode()


def chunks_kept(windows: int) -> int:
    """Return how many chunks hold at least so many windows, whatever their place in a chunk."""
    return -(-windows // CHUNK_WINDOWS) + 1
