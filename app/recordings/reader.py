"""Reading recordings: one message a line, `receive time in ns`, a space, the message as it came.

Plain, `.gz` or `.zst`; one file, or a folder of segments as `record` writes them. A disconnect is a
line whose message is `null`. What else happened between the venue's messages stands in marks of
ours (app/recordings/marks.py); readers that do not know them pass over them.

What is damaged is passed over and said, and what is whole before and behind it is read. Nothing
continues over a damage, so a disconnect stands in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from app.recordings.unpacking import Damage, NotCompressed, unpack

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
DISCONNECT: Final = b"null"
SEGMENT_NAME: Final = re.compile(r"(\d{6})-\d{8}T\d{6}Z\.jsonl(\.gz|\.zst)?")
SHOWN_BYTES: Final = 60
"""How much of a line that is wrong is repeated, at most."""
COARSE_UNITS: Final = {10: "s", 13: "ms", 16: "µs"}
"""Unit of a time of these decades, by its number of digits, if it is not in ns."""

OnBytes = Callable[[int], None]
OnDamage = Callable[[Damage], None]


class BadRecording(ValueError):
    """A file is no recording; says which file, which line, and what is wrong."""


class NoRecording(BadRecording):
    """A file begins with something else than a recording does."""


class DamagedRecording(BadRecording):
    """A recording is not whole; all that came before is."""


@dataclass(slots=True)
class Place:
    """The place of a reader in a recording."""

    path: Path | None = None
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}"


def segments_of(folder: Path) -> list[Path]:
    """Return the segments in a folder of recordings, in the order of their numbers."""
    try:
        found = [path for path in folder.iterdir() if SEGMENT_NAME.fullmatch(path.name)]
    except OSError as error:
        raise BadRecording(f"{folder}: {error.strerror or error}") from error
    return sorted(found)


def read_recording(
    path: Path,
    on_bytes: OnBytes | None = None,
    on_damage: OnDamage | None = None,
    place: Place | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Iterate over (receive time in ns, message) of a file, or of a folder's segments in turn.

    `on_bytes` is told the decompressed length of each line, for progress. `on_damage` is told of
    what is not whole, which is passed over: the next line is a disconnect. Without it, the first
    damage raises DamagedRecording. `place` follows the lines. Raises BadRecording.
    """
    files = [path]
    if path.is_dir() and not (files := segments_of(path)):
        raise BadRecording(
            f"{path}: no recording in this folder; `record` names them 000001-….jsonl"
        )
    is_broken = False

    def damaged(damage: Damage) -> None:
        nonlocal is_broken
        if on_damage is None:
            raise DamagedRecording(str(damage))
        is_broken = is_broken or not damage.is_padding
        on_damage(damage)

    for file in files:
        try:
            for line in read_lines(file, on_bytes, damaged, place):
                if is_broken:
                    is_broken = False
                    if line[1] != DISCONNECT:
                        yield line[0], DISCONNECT
                yield line
        except NoRecording as error:
            if file == path:
                raise
            damaged(Damage(file, 0, file.stat().st_size, str(error)))


def read_lines(
    path: Path,
    on_bytes: OnBytes | None = None,
    on_damage: OnDamage | None = None,
    place: Place | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Iterate over the lines of one file as they are; `on_damage` is told of what is not whole."""
    place = place or Place()
    place.path, place.line = path, 0
    damages = _Damages(place, on_damage)
    rest, at = b"", 0
    try:
        for piece in unpack(path):
            if isinstance(piece, Damage):
                if (last := _last_line(rest)) is not None:
                    place.line += 1
                    yield last
                    rest = b""
                damages.cut(piece, at, rest)
                at, rest = at + len(rest), b""
                continue
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                place.line += 1
                if on_bytes is not None:
                    on_bytes(len(line) + 1)
                received, _, message = line.partition(b" ")
                if message and received.isdigit():
                    if damages.size:
                        damages.end()
                    if len(received) in COARSE_UNITS:
                        raise _wrong_unit(place, received)
                    yield int(received), message.rstrip(b"\r")
                elif line.strip(b"\r"):
                    whole = damages.add(at, line)
                    if whole is not None:
                        yield whole
                at += len(line) + 1
            if len(rest) > MAX_LINE_BYTES:
                if 0 not in rest:
                    raise BadRecording(f"{place}: the next is longer than {MAX_LINE_BYTES} bytes")
                damages.add(at, rest)
                at, rest = at + len(rest), b""
    except NotCompressed as error:
        raise NoRecording(str(error)) from error
    except OSError as error:
        raise BadRecording(f"{path}: {error.strerror or error}") from error
    if rest:
        place.line += 1
        if on_bytes is not None:
            on_bytes(len(rest))
        if (last := _last_line(rest)) is not None:
            damages.end()
            yield last
        elif rest.partition(b" ")[0].isdigit() and 0 not in rest:
            damages.end()
            reason = f"ends in the middle of line {place.line}"
            damages.tell(Damage(path, at, len(rest), reason, is_end=True))
        else:
            damages.add(at, rest)
    damages.end()


class _Damages:
    """Collects the damaged lines of a file; neighbours are told as one."""

    def __init__(self, place: Place, on_damage: OnDamage | None) -> None:
        self.size = 0
        """Bytes of what has not been told yet."""
        self._place = place
        self._on_damage = on_damage
        self._found = False
        self._at = self._line = 0
        self._reason = ""

    def add(self, at: int, line: bytes) -> tuple[int, bytes] | None:
        """Take something that is no line; return the line that stands behind zeros in it, if any.

        Raises BadRecording if the file begins with it: then it is no recording.
        """
        size, whole = len(line) + 1, None
        if 0 in line:
            reason, behind = "zeros", line.rpartition(b"\0")[2]
            if (whole := _last_line(behind)) is not None:
                size = len(line) - len(behind)
        else:
            reason = f"line {self._place.line} is none of a recording: {line[:SHOWN_BYTES]!r}"
            if self._place.line == 1 and not self._found:
                raise NoRecording(
                    f"{self._place}: expected a receive time in ns, a space and a message, "
                    f"found {line[:SHOWN_BYTES]!r}"
                )
        if not self.size:
            self._at, self._line, self._reason = at, self._place.line, reason
        self.size += size
        self._found = True
        if whole is not None:
            self.end()
        return whole

    def end(self) -> None:
        """Tell what was added."""
        if self.size:
            reason = f"{self._reason}, after line {self._line - 1}"
            damage = Damage(self._place_path, self._at, self.size, reason)
            self.size = 0
            self.tell(damage)

    def cut(self, damage: Damage, at: int, rest: bytes) -> None:
        """Tell a damage of the file in which the beginning of a line is lost, too."""
        self.end()
        behind = f", after line {self._place.line}"
        if rest:
            behind += f" and {len(rest):,} bytes of the next"
        self.tell(damage._replace(reason=damage.reason + behind))

    def tell(self, damage: Damage) -> None:
        """Tell a damage; raise DamagedRecording if nobody listens."""
        self._found = True
        if self._on_damage is None:
            raise DamagedRecording(str(damage))
        self._on_damage(damage)

    @property
    def _place_path(self) -> Path:
        assert self._place.path is not None
        return self._place.path


def _last_line(line: bytes) -> tuple[int, bytes] | None:
    """Return a line whose end is missing, if its message is whole; None if it is not.

    No beginning of an object, or of `null`, is JSON itself.
    """
    received, _, message = line.rstrip(b"\r").partition(b" ")
    if not received.isdigit():
        return None
    try:
        msgspec.json.decode(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return int(received), message


def _wrong_unit(place: Place, received: bytes) -> BadRecording:
    unit = COARSE_UNITS[len(received)]
    name = unit.replace("µ", "u")
    return BadRecording(
        f"{place}: the receive time {received.decode()} is in {unit}; a recording has it in ns "
        f"since the epoch, 19 digits. `compute --from {name}` reads it, `import` converts it"
    )
