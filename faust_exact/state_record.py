"""A state record: what one key's state was as of a position in its input partition.

    4 bytes   b"SYst"
    1 byte    version of the payload
    8 bytes   position: offset of the next input record, big endian
    4 bytes   CRC-32 of the position and the payload
    …         payload, zstd

The position stands outside the payload, so that recovery can tell the newer of two records without
decompressing either. It is never below the position of the content: of two records the lower one
loses, and a state that was labelled too low would be told again what it includes.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import cramjam

_HEADER: Final = struct.Struct(">4sBQI")
_MAGIC: Final = b"SYst"
COMPRESSION_LEVEL: Final = 1


class BadRecord(ValueError):
    """Bytes are no state record, or one of another version, or damaged."""


class InvariantBroken(RuntimeError):
    """The program is about to break a rule that its exactness rests on: the worker ends instead.

    Nothing is lost by that: what was not committed is replayed.
    """


def pack(version: int, position: int, payload: bytes) -> bytes:
    """Return the record of a state."""
    compressed = bytes(cramjam.zstd.compress(payload, level=COMPRESSION_LEVEL))
    return _HEADER.pack(_MAGIC, version, position, _checksum(position, compressed)) + compressed


def unpack(record: bytes, version: int) -> tuple[int, bytes]:
    """Return position and payload; raise BadRecord if anything about the record is wrong."""
    found, position, checksum = _header(record)
    compressed = record[_HEADER.size :]
    if checksum != _checksum(position, compressed):
        raise BadRecord("the checksum does not match: the record is damaged")
    if found != version:
        raise BadRecord(f"version {found}, this release reads {version}")
    return position, bytes(cramjam.zstd.decompress(compressed))


def check_written(position: int, content: int) -> None:
    """Raise if a record of this position would hold a state that includes more of the input."""
    if position < content:
        raise InvariantBroken(f"a record of position {position} cannot hold a state of {content}")


def check_read(position: int, content: int) -> None:
    """Raise if a record of this position holds a state that includes more of the input."""
    if position < content:
        raise BadRecord(f"its position is {position}, but its content is of {content}")


def position_of(record: bytes) -> int:
    """Return the position of a record; raise BadRecord if it is none."""
    return _header(record)[1]


def _header(record: bytes) -> tuple[int, int, int]:
    if len(record) < _HEADER.size:
        raise BadRecord(f"{len(record)} bytes are too few for a state record")
    magic, version, position, checksum = _HEADER.unpack_from(record)
    if magic != _MAGIC:
        raise BadRecord(f"starts with {magic!r}, not {_MAGIC!r}")
    return version, position, checksum


def _checksum(position: int, compressed: bytes) -> int:
    return zlib.crc32(compressed, zlib.crc32(position.to_bytes(8, "big")))
