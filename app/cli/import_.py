"""`import`: a capture of another collector into a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from app.errors import UserError
from app.recordings.compression import Compression, new_stream
from app.recordings.importing import READERS, Reader, read_capture
from app.recordings.reader import DISCONNECT, BadRecording

MAX_TROUBLES_SHOWN: Final = 20


def import_capture(
    captures: Annotated[
        list[Path], typer.Argument(exists=True, dir_okay=False, help="Files, in order.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The recording: .jsonl, .jsonl.gz or .jsonl.zst.")
    ],
    name: Annotated[
        str | None, typer.Option("--from", help=f"{', '.join(READERS)}; else as the lines look.")
    ] = None,
) -> None:
    """Make a recording of a capture of cryptofeed or Tardis, of JSON lines, or of coarser times."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    troubles = Troubles(console)
    messages = disconnects = 0
    try:
        reader, lines = read_capture(captures, checked_format(name), troubles.say)
        stream = new_stream(_compression(output))
        with output.open("xb") as file:
            for received_ns, message in lines:
                messages += message != DISCONNECT
                disconnects += message == DISCONNECT
                file.write(stream.compress(b"%d %b\n" % (received_ns, message)))
            file.write(stream.finish())
    except BadRecording as error:
        raise UserError(str(error)) from error
    except FileExistsError as error:
        raise UserError(f"{output}: there is such a file; it is not written over") from error
    except OSError as error:
        raise UserError(f"{output}: {error.strerror or error}") from error
    troubles.end()
    console.print(
        f"{messages} messages and {disconnects} disconnects to {output}; {about(reader)}",
        markup=False,
    )
    if not messages:
        raise NothingImported(f"{captures[0]}: there is no message in it")


class NothingImported(UserError):
    """A capture that can be read holds nothing."""

    exit_code = 1


class Troubles:
    """Tells what of a capture is not as it should be, and how much more than is told."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._count = 0

    def say(self, what: str) -> None:
        """Tell one, unless there were too many."""
        self._count += 1
        if self._count <= MAX_TROUBLES_SHOWN:
            self._console.print(f"left out: {what}", markup=False)

    def end(self) -> None:
        """Tell how many there were more."""
        if self._count > MAX_TROUBLES_SHOWN:
            self._console.print(f"left out: {self._count - MAX_TROUBLES_SHOWN} more")


def about(reader: Reader) -> str:
    """Say how a capture was read, and what it cannot show."""
    return (
        f"read as {reader.name}: {reader.passed_over} lines are no messages, "
        f"{reader.steps_back} times step back. What it cannot show: {reader.lacks}"
    )


def checked_format(name: str | None) -> str | None:
    """Return the name of a format, or None as it is; raise UserError if there is no such format."""
    if name is not None and name not in READERS:
        raise UserError(f"--from {name}: there are {', '.join(READERS)}")
    return name


def _compression(output: Path) -> Compression:
    for compression in (Compression.GZ, Compression.ZST):
        if output.suffix == compression.suffix:
            return compression
    return Compression.NONE
