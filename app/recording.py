"""Reading recordings: one message a line, `receive time in ns`, a space, the message as it came.

Plain, `.gz` or `.zst`; one file, or a folder of segments as `record` writes them. A disconnect is a
line whose message is `null`. A break of one book, which the venue's own messages do not show, is a
line whose message is a mark of ours (`gap_mark`); readers that do not know it pass over it.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import zstandard

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
DISCONNECT: Final = b"null"
SEGMENT_NAME: Final = re.compile(r"(\d{6})-\d{8}T\d{6}Z\.jsonl(\.gz|\.zst)?")
READ_BYTES: Final = 64 * 1024
_GZ_FORMAT: Final = 31
"""zlib's number for gzip."""
SHOWN_BYTES: Final = 60
"""Of a line that is wrong, at most this much is repeated."""
_GAP_METHOD: Final = "steelyard/gap"
_GAP_START: Final = b'{"method":"steelyard/gap",'

OnBytes = Callable[[int], None]
OnTorn = Callable[[str], None]


class BadRecording(ValueError):
    """A file is no recording; says which file, which line, and what is wrong."""


class TornRecording(BadRecording):
    """A recording ends in the middle of a line or of its compression; all before it is whole."""


class GapMark(msgspec.Struct, frozen=True):
    """A break of one channel that its messages do not show: some of them were not kept."""

    channel: str
    expected: int | None
    """The change_id that the next change should have named as its predecessor."""
    found: int | None


def gap_mark(mark: GapMark) -> bytes:
    """Return the message that stands for a break in a recording."""
    return msgspec.json.encode({"method": _GAP_METHOD, "params": mark})


def read_gap_mark(message: bytes) -> GapMark | None:
    """Return the break that a message of a recording stands for; None if it is any other."""
    if not message.startswith(_GAP_START):
        return None
    try:
        return _gap_line.decode(message).params
    except msgspec.MsgspecError:
        return None


class _GapLine(msgspec.Struct):
    params: GapMark


_gap_line = msgspec.json.Decoder(_GapLine)


def segments_of(folder: Path) -> list[Path]:
    """Return the segments in a folder of recordings, in the order of their numbers."""
    try:
        found = [path for path in folder.iterdir() if SEGMENT_NAME.fullmatch(path.name)]
    except OSError as error:
        raise BadRecording(f"{folder}: {error.strerror or error}") from error
    return sorted(found)


def read_recording(
    path: Path, on_bytes: OnBytes | None = None, on_torn: OnTorn | None = None
) -> Iterator[tuple[int, bytes]]:
    """Iterate over (receive time in ns, message) of a file, or of a folder's segments in turn.

    `on_bytes` is told the decompressed length of each line, for progress. `on_torn` is told of a
    file that ends in the middle, and what is whole of it is read; without it such a file raises
    TornRecording at its end. Raises BadRecording.
    """
    files = [path]
    if path.is_dir() and not (files := segments_of(path)):
        raise BadRecording(
            f"{path}: no recording in this folder; `record` names them 000001-….jsonl"
        )
    for file in files:
        try:
            yield from read_lines(file, on_bytes)
        except TornRecording as error:
            if on_torn is None:
                raise
            on_torn(str(error))


def read_lines(path: Path, on_bytes: OnBytes | None = None) -> Iterator[tuple[int, bytes]]:
    """Iterate over the lines of one file; raise TornRecording after its last whole line."""
    number = 0
    with open_recording(path) as file:
        try:
            while line := file.readline(MAX_LINE_BYTES):
                number += 1
                if on_bytes is not None:
                    on_bytes(len(line))
                received, separator, message = line.rstrip(b"\r\n").partition(b" ")
                if not line.endswith(b"\n"):
                    if len(line) >= MAX_LINE_BYTES:
                        raise BadRecording(
                            f"{path}, line {number}: longer than {MAX_LINE_BYTES} bytes"
                        )
                    if received.isdigit() and not _is_json(message):
                        raise TornRecording(f"{path} ends in the middle of line {number}")
                if not received and not separator:
                    continue
                if not separator or not received.isdigit():
                    raise BadRecording(
                        f"{path}, line {number}: expected a receive time in ns, a space and "
                        f"a message, found {line[:SHOWN_BYTES]!r}"
                    )
                yield int(received), message
        except EOFError as error:
            raise TornRecording(
                f"{path} ends in the middle of its compression, after line {number}"
            ) from error
        except (OSError, zlib.error, zstandard.ZstdError) as error:
            raise BadRecording(f"{path}, after line {number}: {error}") from error


def _is_json(message: bytes) -> bool:
    """Whether a message is whole: no beginning of an object, or of `null`, is JSON itself."""
    try:
        msgspec.json.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


def open_recording(path: Path) -> io.BufferedReader:
    """Return the decompressed bytes of a recording; raise BadRecording if there is no such file."""
    try:
        if path.suffix == ".gz":
            return io.BufferedReader(_Unpacked(path, lambda: zlib.decompressobj(_GZ_FORMAT)))
        if path.suffix == ".zst":
            return io.BufferedReader(_Unpacked(path, _zst_frame))
        return path.open("rb")
    except OSError as error:
        raise BadRecording(f"{path}: {error.strerror or error}") from error


def _zst_frame() -> Any:
    return zstandard.ZstdDecompressor().decompressobj()


class _Unpacked(io.RawIOBase):
    """The decompressed bytes of frames one after the other; EOFError if the last is not whole.

    All that a cut frame holds is given first. The libraries' own readers do not: gzip's loses the
    last block, and zstandard's ends as if nothing were missing.
    """

    def __init__(self, path: Path, new_frame: Callable[[], Any]) -> None:
        self._file = path.open("rb")
        self._new_frame = new_frame
        self._frame: Any = None
        self._unread = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            chunk = self._unread or self._file.read(READ_BYTES)
            if not chunk:
                if self._frame is not None:
                    raise EOFError
                return 0
            if self._frame is None:
                self._frame = self._new_frame()
            self._ready = memoryview(self._frame.decompress(chunk))
            self._unread = b""
            if self._frame.eof:
                self._unread, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
