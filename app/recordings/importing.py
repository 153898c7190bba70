"""Captures of other collectors, read as the lines of a recording.

Each format is a pure reader of lines, for `import` and `compute --from`; what such a capture cannot
show is said. Nothing is made up that is not in it, but one thing: where there is no receive time,
the venue's own stamps stand for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from app.recordings.reader import DISCONNECT, BadRecording
from app.recordings.unpacking import Damage, NotCompressed, unpack

DETECTED_BY: Final = 50
"""Lines that are looked at to find out in which format a capture is."""
_NS: Final = 1_000_000_000
Line = tuple[int, bytes]


class Reader:
    """A format of captures: lines in, lines of a recording out."""

    name: ClassVar[str]
    pattern: ClassVar[re.Pattern[bytes]]
    """What a line of the format looks like."""
    lacks: ClassVar[str]
    """What windows of such a capture cannot show."""

    def __init__(self) -> None:
        self.last_ns = 0
        """The last receive time; times that step back are kept, and counted."""
        self.steps_back = 0
        self.passed_over = 0
        """Lines that are no message of the venue: headers, requests, answers over HTTP."""
        self._is_connected = False

    def lines(self, line: bytes) -> Iterator[Line]:
        """Yield what a line stands for; raise ValueError if it is none of this format."""
        found = self.pattern.fullmatch(line)
        if found is None:
            raise ValueError(f"this is no line of the format {self.name}: {line[:60]!r}")
        yield from self.read(found)

    def read(self, found: re.Match[bytes]) -> Iterator[Line]:
        """Yield what a line stands for that looks right."""
        raise NotImplementedError

    def message(self, received_ns: int, message: bytes) -> Line:
        """Return the line of a message."""
        self.steps_back += received_ns < self.last_ns
        self.last_ns, self._is_connected = received_ns, True
        return received_ns, message

    def disconnect(self, received_ns: int | None = None) -> Iterator[Line]:
        """Yield a disconnect, if there was anything since the last."""
        if self._is_connected:
            self._is_connected = False
            yield received_ns or self.last_ns, DISCONNECT


class Cryptofeed(Reader):
    """`TIME: MESSAGE` of cryptofeed's raw data collection; the time in seconds with a fraction.

    Beside messages it has a header (`configuration: …`), connections (`ADDRESS <-> TIME`), what was
    sent (`ADDRESS <- TIME: …`) and answers over HTTP (`ADDRESS -> TIME: …`).
    """

    name = "cryptofeed"
    pattern = re.compile(
        rb"(?:(?P<other>configuration: .*|\S+ (?:<-|->) .*)|(?P<address>wss?://\S+) <-> "
        rb"(?P<since>\d{9,10}\.\d+)|(?P<time>\d{9,10}\.\d+): (?P<message>[\[{].*))"
    )
    lacks = (
        "a connection that ended shows only where the next begins; there are no ticks, so nothing "
        "tells a dead socket from a quiet market"
    )

    def read(self, found: re.Match[bytes]) -> Iterator[Line]:
        if found["message"] is not None:
            yield self.message(_from_seconds(found["time"]), found["message"])
        elif found["since"] is not None:
            yield from self.disconnect(_from_seconds(found["since"]))
        else:
            self.passed_over += 1


class Tardis(Reader):
    """`2019-08-01T08:52:00.0324272Z MESSAGE` of Tardis' raw data; an empty line is a disconnect."""

    name = "tardis"
    pattern = re.compile(
        rb"(?:(?P<second>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?Z "
        rb"(?P<message>\S.*)|(?P<empty>))"
    )
    lacks = (
        "there are no ticks, so nothing tells a dead socket from a quiet market; a disconnect has "
        "the time of the last message before it"
    )

    def read(self, found: re.Match[bytes]) -> Iterator[Line]:
        if found["message"] is None:
            yield from self.disconnect()
            return
        second = datetime.fromisoformat(found["second"].decode()).replace(tzinfo=UTC)
        fraction = (found["fraction"] or b"").ljust(9, b"0")
        yield self.message(int(second.timestamp()) * _NS + int(fraction), found["message"])


class Json(Reader):
    """One message a line and nothing else, or in an object's `msg`."""

    name = "json"
    pattern = re.compile(rb"(?P<message>\{.*\})")
    lacks = (
        "there are no receive times: the venue's own stamps stand for them, so delays are unknown; "
        "there are neither disconnects nor ticks, so what was missed shows only in the chain of "
        "the books and the numbers of the trades"
    )

    def read(self, found: re.Match[bytes]) -> Iterator[Line]:
        message = bytes(found["message"])
        try:
            read = msgspec.json.decode(message, type=_Stamped)
        except msgspec.MsgspecError as error:
            raise ValueError(f"this is no JSON object: {error}") from error
        if bytes(read.msg):
            message = bytes(read.msg)
            read = msgspec.json.decode(message, type=_Stamped)
        sent_ms = read.sent_ms()
        if sent_ms is None and not self.last_ns:
            self.passed_over += 1  # an answer before the first message that has a time
            return
        yield self.message(max(self.last_ns, (sent_ms or 0) * 1_000_000), message)


class _Timed(msgspec.Struct):
    timestamp: int | None = None


class _Params(msgspec.Struct):
    data: _Timed | list[_Timed] | None = None


class _Stamped(msgspec.Struct):
    params: _Params | None = None
    msg: msgspec.Raw = msgspec.Raw()
    usOut: int | None = None

    def sent_ms(self) -> int | None:
        """Return when the venue made the message; None if it does not say."""
        data = self.params.data if self.params is not None else None
        if isinstance(data, list):
            data = data[-1] if data else None
        if data is not None and data.timestamp is not None:
            return data.timestamp
        return None if self.usOut is None else self.usOut // 1_000


class _Coarse(Reader):
    """`TIME MESSAGE` as in a recording, but in another unit than ns."""

    digits: ClassVar[int]
    lacks = "receive times are as coarse as they were written"

    def read(self, found: re.Match[bytes]) -> Iterator[Line]:
        received_ns = int(found["time"]) * 10 ** (19 - self.digits)
        if found["message"] != DISCONNECT:
            yield self.message(received_ns, found["message"])
        else:
            yield from self.disconnect(received_ns)


class Seconds(_Coarse):
    """Receive times in seconds."""

    name, digits = "s", 10
    pattern = re.compile(rb"(?P<time>\d{10}) (?P<message>.+)")


class Milliseconds(_Coarse):
    """Receive times in milliseconds."""

    name, digits = "ms", 13
    pattern = re.compile(rb"(?P<time>\d{13}) (?P<message>.+)")


class Microseconds(_Coarse):
    """Receive times in microseconds."""

    name, digits = "us", 16
    pattern = re.compile(rb"(?P<time>\d{16}) (?P<message>.+)")


READERS: Final[dict[str, type[Reader]]] = {
    reader.name: reader
    for reader in (Cryptofeed, Tardis, Json, Seconds, Milliseconds, Microseconds)
}


def detect(lines: Iterable[bytes]) -> str | None:
    """Return the name of the format in which the first lines are; None if it is none of these."""
    first = [line for line in islice(lines, DETECTED_BY) if line]
    for name, reader in READERS.items():
        if first and all(reader.pattern.fullmatch(line) for line in first):
            return name
    return None


def read_capture(
    files: Sequence[Path], name: str | None, on_trouble: Callable[[str], None]
) -> tuple[Reader, Iterator[Line]]:
    """Return the reader of a capture in one or more files, and the lines of a recording of it.

    `name` is the format; None: as the first lines look. `on_trouble` is told of what is not whole
    or no line of the format; a disconnect stands in its place. Raises BadRecording.
    """
    if name is None:
        first = (line for line in _raw_lines(files[0]) if isinstance(line, bytes))
        if (name := detect(first)) is None:
            known = ", ".join(READERS)
            raise BadRecording(f"{files[0]}: its lines are of none of the formats {known}")
    reader = READERS[name]()
    return reader, _lines_of(files, reader, on_trouble)


def _lines_of(
    files: Sequence[Path], reader: Reader, on_trouble: Callable[[str], None]
) -> Iterator[Line]:
    for file in files:
        number = 0
        for line in _raw_lines(file):
            if isinstance(line, Damage):
                on_trouble(f"{line}, after line {number}")
                yield from reader.disconnect()
                continue
            number += 1
            try:
                yield from reader.lines(line)
            except ValueError as error:
                on_trouble(f"{file}, line {number}: {error}")
                yield from reader.disconnect()


def _raw_lines(file: Path) -> Iterator[bytes | Damage]:
    """Yield the lines of a file, and what of it is not whole."""
    rest = b""
    try:
        for piece in unpack(file):
            if isinstance(piece, Damage):
                rest = b""
                yield piece
                continue
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.rstrip(b"\r")
    except NotCompressed as error:
        raise BadRecording(str(error)) from error
    except OSError as error:
        raise BadRecording(f"{file}: {error.strerror or error}") from error
    if rest:
        yield rest


def _from_seconds(text: bytes) -> int:
    """Return ns of seconds with a fraction, exactly as they are written."""
    seconds, _, fraction = text.partition(b".")
    return int(seconds) * _NS + int(fraction[:9].ljust(9, b"0"))
