"""The bytes of a file that may be compressed and damaged: all that is whole, and what is not.

A machine that lost its power leaves zeros where data were to be; tapes and object stores put zeros
behind a file; copies are cut short. The libraries' own readers give up a whole block then, or the
rest of the file. Here a damage is a value between the pieces, and the reading goes on behind it at
the next thing that begins like a frame.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import zstandard

READ_BYTES: Final = 64 * 1024
LEAST_ZEROS: Final = 32
"""Fewer zero bytes at an end may be data."""
_GZ_FORMAT: Final = 31
"""zlib's number for gzip."""
_ERRORS: Final = (zlib.error, zstandard.ZstdError)


class Damage(NamedTuple):
    """A part of a file that is not what was written."""

    path: Path
    at: int
    """Where it begins, in bytes from the begin of the file."""
    size: int
    reason: str
    is_end: bool = False
    """Whether the file just ends there, in the middle of something."""
    is_padding: bool = False
    """Whether nothing is lost: these bytes stand behind something whole."""

    def __str__(self) -> str:
        if self.is_end:
            return f"{self.path} {self.reason} (byte {self.at + self.size:,})"
        return f"{self.path}: {self.size:,} bytes from byte {self.at:,} on: {self.reason}"


class NotCompressed(ValueError):
    """A file holds nothing in the format that its name says."""


class Format(NamedTuple):
    """A way to compress."""

    magic: bytes
    """What a frame begins with."""
    new_frame: Callable[[], Any]


FORMATS: Final = {
    ".gz": Format(b"\x1f\x8b\x08", lambda: zlib.decompressobj(_GZ_FORMAT)),
    ".zst": Format(b"\x28\xb5\x2f\xfd", lambda: zstandard.ZstdDecompressor().decompressobj()),
}


def unpack(path: Path) -> Iterator[bytes | Damage]:
    """Yield the decompressed bytes of a file in pieces, and a Damage where something is not whole.

    Raises OSError if it cannot be read, NotCompressed if it is not what its name says.
    """
    with path.open("rb") as file:
        if (how := FORMATS.get(path.suffix)) is not None:
            yield from _frames(path, file, how)
        else:
            while piece := file.read(READ_BYTES):
                yield piece


def _frames(path: Path, file: BinaryIO, how: Format) -> Iterator[bytes | Damage]:
    """Yield what is in frames that follow each other."""
    at = 0
    while True:
        start = _next_frame(file, at, how.magic)
        if start is None or start > at:
            end = file.seek(0, 2)
            size = (end if start is None else start) - at
            if size:
                file.seek(at)
                if size < len(how.magic) and how.magic.startswith(file.read(size)):
                    yield Damage(path, at, size, "ends in the middle of its compression", True)
                    return
                file.seek(at)
                zeros = _are_zeros(file, size)
                if start is None and not at and not zeros:
                    raise NotCompressed(f"{path} holds nothing in the format {path.suffix}")
                reason = "zeros" if zeros else f"no {path.suffix} data begin there"
                yield Damage(path, at, size, reason, is_padding=zeros and at > 0)
            if start is None:
                return
        at = yield from _frame(path, file, how, start)


def _frame(
    path: Path, file: BinaryIO, how: Format, start: int
) -> Generator[bytes | Damage, None, int]:
    """Yield what is in the frame that begins at `start`; return where the next one may begin."""
    frame, at = how.new_frame(), start
    file.seek(start)
    while chunk := file.read(READ_BYTES):
        try:
            piece = frame.decompress(chunk)
        except _ERRORS as error:
            piece, whole = _until_error(file, how, start, at)
            yield piece
            # What only looks like the beginning of a frame is damage from there on.
            here = at + whole if piece or at > start else start
            following = _following(file, start, how)
            end = file.seek(0, 2) if following is None else following
            here = min(here, end)
            file.seek(here)
            reason = "zeros"
            if not _are_zeros(file, end - here):
                reason = f"damaged, and what was read just before it may be altered ({error})"
            yield Damage(path, here, end - here, reason)
            return end
        yield piece
        at += len(chunk)
        if frame.eof:
            return at - len(frame.unused_data)
    if (following := _following(file, start, how)) is not None:
        reason = "damaged, and what was read from it may be altered: another frame begins in it"
        yield Damage(path, start, following - start, reason)
        return following
    zeros = _trailing_zeros(file, start)
    if zeros >= LEAST_ZEROS:  # to zstd they are empty blocks without an end
        yield Damage(path, at - zeros, zeros, "zeros")
    else:
        yield Damage(path, at, 0, "ends in the middle of its compression", is_end=True)
    return at


def _following(file: BinaryIO, start: int, how: Format) -> int | None:
    """Return where another frame begins behind a begin of one that does not end; None if nowhere.

    A damaged frame may seem to go on far into the next. So it is looked for from the begin, and
    what begins like a frame by chance is told from one by what it holds.
    """
    at: int | None = start
    while at is not None:
        at = _next_frame(file, at + 1, how.magic)
        if at is not None:
            file.seek(at)
            with contextlib.suppress(*_ERRORS):
                if how.new_frame().decompress(file.read(READ_BYTES)):
                    return at
    return None


def _until_error(file: BinaryIO, how: Format, start: int, at: int) -> tuple[bytes, int]:
    """Return what the chunk at `at`, which cannot be decompressed whole, holds before its damage.

    And how many of its bytes that took. What a failed call has decompressed is lost, and a state
    cannot be copied in every format: so the frame is decompressed again, at last byte by byte.
    """
    frame, position = how.new_frame(), start
    file.seek(start)
    while position < at:
        position += len(chunk := file.read(min(READ_BYTES, at - position)))
        frame.decompress(chunk)
    found = bytearray()
    chunk = file.read(READ_BYTES)
    for place in range(len(chunk)):
        try:
            found += frame.decompress(chunk[place : place + 1])
        except _ERRORS:
            return bytes(found), place
    return bytes(found), len(chunk)


def _next_frame(file: BinaryIO, at: int, magic: bytes) -> int | None:
    """Return where the next thing begins that begins like a frame; None if nothing does."""
    file.seek(at)
    before = b""
    while chunk := file.read(READ_BYTES):
        place = (before + chunk).find(magic)
        if place >= 0:
            return at - len(before) + place
        at += len(chunk)
        before = (before + chunk)[-len(magic) + 1 :]
    return None


def _trailing_zeros(file: BinaryIO, start: int) -> int:
    """Return how many bytes at the end of a file, from `start` on, are zero."""
    end = at = file.seek(0, 2)
    while at > start:
        size = min(READ_BYTES, at - start)
        file.seek(at - size)
        left = len(file.read(size).rstrip(b"\0"))
        if left:
            return end - (at - size + left)
        at -= size
    return end - start


def _are_zeros(file: BinaryIO, size: int) -> bool:
    """Return whether the next bytes of a file are all zero."""
    while size > 0 and (chunk := file.read(min(READ_BYTES, size))):
        if chunk.count(0) != len(chunk):
            return False
        size -= len(chunk)
    return True
