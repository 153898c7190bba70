"""The truth log: what the venue produced, whether or not anybody was listening.

A recording like any other (`recv_ns SPACE message`, see recording.py): it starts with a snapshot
of every incremental book channel, so it can be played. The time is the venue's clock.
"""

from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self


class Truth:
    """An append-only log; without a path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self.wanted = path is not None
        self._file: BinaryIO | None = None
        if path is not None:
            self._file = path.open("ab")

    def write(self, time_ns: int, message: str) -> None:
        if self._file is not None:
            self._file.write(b"%d %s\n" % (time_ns, message.encode()))

    def write_bytes(self, time_ns: int, message: bytes) -> None:
        if self._file is not None:
            self._file.write(b"%d %s\n" % (time_ns, message))

    def flush(self) -> None:
        """Hand over to the operating system: what is flushed outlives this process."""
        if self._file is not None:
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
