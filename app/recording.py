"""Reading recordings: one message a line, `receive time in ns`, a space, the message as it came.

Plain, `.gz` or `.zst`. A disconnect is a line whose message is `null`.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import zstandard

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
DISCONNECT: Final = b"null"


class BadRecording(ValueError):
    """A file is no recording; says which file, which line, and what is wrong."""


def open_recording(path: Path) -> io.BufferedReader:
    """Return the decompressed bytes of a recording; raise BadRecording if there is no such file."""
    try:
        if path.suffix == ".gz":
            return io.BufferedReader(gzip.GzipFile(path))
        if path.suffix == ".zst":
            return io.BufferedReader(zstandard.open(path, "rb"))
        return path.open("rb")
    except OSError as error:
        raise BadRecording(f"{path}: {error.strerror or error}") from error


def read_recording(
    path: Path, on_bytes: Callable[[int], None] | None = None
) -> Iterator[tuple[int, bytes]]:
    """Iterate over (receive time in ns, message); a message `null` is a disconnect.

    `on_bytes` is told the decompressed length of each line, for progress. Raises BadRecording.
    """
    with open_recording(path) as file:
        number = 0
        try:
            while line := file.readline(MAX_LINE_BYTES):
                number += 1
                if on_bytes is not None:
                    on_bytes(len(line))
                received, separator, message = line.rstrip(b"\r\n").partition(b" ")
                if not received and not separator:
                    continue
                if not separator or not received.isdigit():
                    raise BadRecording(
                        f"{path}, line {number}: expected a receive time in ns, a space and "
                        f"a message, found {line[:60]!r}"
                    )
                yield int(received), message
        except (OSError, EOFError, zstandard.ZstdError) as error:
            raise BadRecording(f"{path}, after line {number}: {error}") from error
