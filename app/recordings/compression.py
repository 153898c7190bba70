"""Compression of a segment while it grows: what was flushed can be read, whatever happens next."""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import Any, Final, Protocol

import zstandard

GZ_LEVEL: Final = 6
ZST_LEVEL: Final = 6
_GZ_FORMAT: Final = 31
"""zlib's number for a window of 32 kB in a gzip envelope."""


class Compression(StrEnum):
    """The ways in which a segment can be written."""

    NONE = "none"
    GZ = "gz"
    ZST = "zst"

    @property
    def suffix(self) -> str:
        """Return what a file's name ends with."""
        return "" if self is Compression.NONE else f".{self.value}"


class Compressor(Protocol):
    """A compression under way; every call returns the bytes that are ready for the file."""

    def compress(self, data: bytes) -> bytes:
        """Take data."""

    def flush(self) -> bytes:
        """Make all that was taken readable, at the price of some compression."""

    def finish(self) -> bytes:
        """End the stream."""


def new_stream(compression: Compression) -> Compressor:
    """Return a new stream."""
    match compression:
        case Compression.NONE:
            return _Plain()
        case Compression.GZ:
            return _Gz()
        case Compression.ZST:
            return _Zst()


class _Plain:
    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""

    def finish(self) -> bytes:
        return b""


class _Gz:
    def __init__(self) -> None:
        self._stream = zlib.compressobj(GZ_LEVEL, zlib.DEFLATED, _GZ_FORMAT)

    def compress(self, data: bytes) -> bytes:
        return self._stream.compress(data)

    def flush(self) -> bytes:
        return self._stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._stream.flush(zlib.Z_FINISH)


class _Zst:
    def __init__(self) -> None:
        compressor = zstandard.ZstdCompressor(level=ZST_LEVEL, write_checksum=True)
        self._stream: Any = compressor.compressobj()

    def compress(self, data: bytes) -> bytes:
        taken: bytes = self._stream.compress(data)
        return taken

    def flush(self) -> bytes:
        flushed: bytes = self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        return flushed

    def finish(self) -> bytes:
        last: bytes = self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)
        return last
