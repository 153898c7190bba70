"""`record`: channels of the venue into recordings; `record --verify`: are they what they were?"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.cli.environment import load_settings
from app.durations import parse_duration
from app.errors import UserError
from app.recordings.channel_selection import ChannelSelection
from app.recordings.compression import Compression
from app.recordings.manifest import Manifest
from app.recordings.reader import BadRecording
from app.recordings.recorder import DiskRefused, Recorder, VenueRefused
from app.recordings.segments import FolderInUse, Segments
from app.recordings.verification import CUT, DAMAGED, OPEN, UNENDED, WHOLE, Verdict, check
from app.settings import Settings
from deribit.client import Client

DEFAULT_FOLDER: Final = "recordings"
MIN_ROTATE_MS: Final = 1_000
MIN_ROTATE_BYTES: Final = 4_096
PROGRESS_S: Final = 0.5
COLOURS: Final = {WHOLE: "green", CUT: "yellow", OPEN: "cyan", UNENDED: "yellow", DAMAGED: "red"}
_SIZES: Final = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


class Failed(UserError):
    """Is raised when a well-formed request could not be carried out."""

    exit_code = 1


def record(
    channels: Annotated[
        str | None,
        typer.Option(help="Kinds (book,trades,…), or names such as book.BTC-PERPETUAL.100ms."),
    ] = None,
    instruments: Annotated[
        str | None, typer.Option(help="Comma separated; all open perpetuals by default.")
    ] = None,
    interval: Annotated[
        str | None, typer.Option(help="Of the books: raw, 100ms or agg2; else as in the settings.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the segments; else var/recordings.")
    ] = None,
    rotate: Annotated[
        str, typer.Option(help="A new segment at each multiple of this in UTC, or `never`.")
    ] = "1h",
    rotate_bytes: Annotated[
        str | None, typer.Option(help="A new segment after so many bytes on disk, such as 500MB.")
    ] = None,
    compress: Annotated[Compression, typer.Option(help="Of the segments.")] = Compression.ZST,
    duration: Annotated[
        str | None, typer.Option(help="Stop after this time, such as 10m; else at Ctrl-C.")
    ] = None,
    verify: Annotated[
        Path | None, typer.Option("--verify", help="Check a folder of segments; record nothing.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --verify: one JSON object a line.")
    ] = False,
) -> None:
    """Record what the venue sends, byte for byte, into segments with manifests; print the summary.

    A second start with the same folder goes on in a new segment. `compute`, `replay` and the
    exchange read the segments; the first two also take the folder.
    """
    if verify is not None:
        _verify(verify, as_json)
        return
    settings = load_settings()
    try:
        choice = ChannelSelection.parse(
            _words(channels) or settings.channels,
            _words(instruments) or settings.instruments,
            _interval(interval or settings.book_interval),
        )
        rotate_ms = None if rotate == "never" else parse_duration(rotate)
        duration_ms = None if duration is None else parse_duration(duration)
        size = None if rotate_bytes is None else _parse_size(rotate_bytes)
    except ValueError as error:
        raise UserError(str(error)) from error
    if rotate_ms is not None and rotate_ms < MIN_ROTATE_MS:
        raise UserError(f"--rotate {rotate}: at least {MIN_ROTATE_MS} ms")
    folder = output if output is not None else settings.data_dir / DEFAULT_FOLDER
    desk = _Desk(Console(stderr=True, highlight=False, soft_wrap=True), folder)
    try:
        segments = Segments(
            folder,
            venue=settings.venue_url,
            compression=compress,
            rotate_ms=rotate_ms,
            rotate_bytes=size,
            on_finished=desk.finished,
        )
    except (FolderInUse, BadRecording) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}") from error
    desk.adopted(segments.adopted)
    asyncio.run(_record(settings, choice, segments, duration_ms, desk))
    if not segments.summary.segments:
        raise Failed(f"nothing was recorded: the venue at {settings.venue_url} sent nothing")
    sys.stdout.write(msgspec.json.encode(segments.summary).decode() + "\n")


@dataclass(slots=True)
class _Desk:
    """Tells the person at the terminal how the recording goes."""

    console: Console
    folder: Path

    def say(self, text: str) -> None:
        self.console.print(escape(text), style="dim")

    def adopted(self, manifests: list[Manifest]) -> None:
        for each in manifests:
            self.console.print(
                f"[yellow]{each.segment} was not ended[/]: its recorder was killed; "
                f"its first {each.counts.lines:,} lines are whole"
            )

    def finished(self, manifest: Manifest) -> None:
        counts = manifest.counts
        self.console.print(
            f"{manifest.segment} {manifest.ended}: {counts.messages:,} messages on "
            f"{len(counts.channels)} channels, {counts.gaps} gaps, {counts.disconnects} "
            f"disconnects, {manifest.bytes:,} bytes"
        )

    def refused(self, refusal: DiskRefused, segments: Segments) -> Failed:
        """Return the error that says what the disk refused, and what is kept."""
        kept = segments.summary
        error = refusal.error
        text = (
            f"{self.folder}: {error.strerror or error}; the recording has stopped. Kept are "
            f"{kept.counts.messages:,} messages in {len(kept.segments)} segments"
        )
        if (last := refusal.manifest) is not None:
            text += f", the last, {last.segment}, up to its line {last.counts.lines:,}"
        return Failed(f"{text}. Make room and start again: it goes on in a new segment.")


async def _record(
    settings: Settings,
    choice: ChannelSelection,
    segments: Segments,
    duration_ms: int | None,
    desk: _Desk,
) -> None:
    client = Client(settings.venue_url, "recorder", credentials=settings.credentials)
    recorder = Recorder(client, choice, segments, desk.say)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    if duration_ms is not None:
        loop.call_later(duration_ms / 1000, stopped.set)
    desk.say(f"recording {settings.venue_url} into {desk.folder}; Ctrl-C ends it")
    tasks = [
        asyncio.create_task(_close_when(stopped, client)),
        asyncio.create_task(_progress(recorder, segments, desk.console)),
    ]
    try:
        await recorder.run()
    except DiskRefused as refusal:
        raise desk.refused(refusal, segments) from refusal
    except VenueRefused as error:
        raise UserError(str(error)) from error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _close_when(stopped: asyncio.Event, client: Client) -> None:
    await stopped.wait()
    await client.close()


async def _progress(recorder: Recorder, segments: Segments, console: Console) -> None:
    """Show what comes, where somebody looks."""
    if not console.is_terminal:
        return
    counts = recorder.counts
    with console.status("connecting") as status:
        last, last_at = 0, time.monotonic()
        while True:
            await asyncio.sleep(PROGRESS_S)
            now = time.monotonic()
            rate = (counts.messages - last) / (now - last_at)
            last, last_at = counts.messages, now
            segment = segments.segment
            file = "–" if segment is None else f"{segment.path.name} {segment.size / 1e6:,.1f} MB"
            status.update(
                f"{'' if recorder.is_connected else '[yellow]not connected[/] · '}"
                f"{counts.messages:,} messages · {rate:,.0f}/s · {counts.bytes / 1e6:,.1f} MB · "
                f"{len(recorder.channels)} channels · {counts.gaps} gaps · {file}"
            )


def _verify(folder: Path, as_json: bool) -> None:
    verdicts = []
    try:
        for verdict in check(folder):
            verdicts.append(verdict)
            if as_json:
                print(json.dumps(msgspec.to_builtins(verdict)), flush=True)
    except BadRecording as error:
        raise UserError(str(error)) from error
    if not as_json:
        Console().print(_table(verdicts))
    told = Console(stderr=True, highlight=False, soft_wrap=True)
    for verdict in verdicts:
        for note in verdict.notes:
            told.print(f"{verdict.name} is {verdict.status}: {note}", markup=False)
    wrong = [each for each in verdicts if each.status in (DAMAGED, UNENDED)]
    if wrong:
        said = "\n  ".join(f"{each.name}: {'; '.join(each.problems)}" for each in wrong)
        raise Failed(f"{len(wrong)} of {len(verdicts)} are not as they should be:\n  {said}")


def _table(verdicts: list[Verdict]) -> Table:
    table = Table("segment", "result", "lines", "gaps", "disconnects", "bytes")
    for column in table.columns:
        column.no_wrap = True
    for column in table.columns[2:]:
        column.justify = "right"
    for each in verdicts:
        figures = (each.lines, each.gaps, each.disconnects, each.bytes)
        result = f"[{COLOURS[each.status]}]{each.status}[/]"
        table.add_row(each.name, result, *(f"{figure:,}" for figure in figures))
    return table


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _interval(text: str) -> str:
    if text not in ("raw", "100ms", "agg2"):
        raise ValueError(f"--interval {text!r}: raw, 100ms or agg2")
    return text


def _parse_size(text: str) -> int:
    number = text.strip().lower()
    digits = number.rstrip("kmgb")
    factor = _SIZES.get(number[len(digits) :])
    if factor is None or not digits.isdigit() or int(digits) * factor < MIN_ROTATE_BYTES:
        raise ValueError(
            f"--rotate-bytes {text!r}: write a number from {MIN_ROTATE_BYTES}, such as 500MB"
        )
    return int(digits) * factor
