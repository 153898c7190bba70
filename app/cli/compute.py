"""`compute`: the windows of a recording as NDJSON, without Kafka."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from app.cli.import_ import Troubles, about, checked_format
from app.cli.progress import reading, saying_damage
from app.durations import parse_duration, parse_span
from app.errors import UserError
from app.processing.processor import Rules
from app.recordings.compute import Tally
from app.recordings.compute import compute as compute_windows
from app.recordings.importing import READERS, read_capture
from app.recordings.reader import BadRecording, NoRecording, Place, read_recording
from app.settings import Settings
from deribit.decode_books_trades import instrument_of
from deribit.served_instruments import why_not_served
from models.window import encode_window
from orderbook.windows.span import ordered

DEFAULT_GRACE: Final = "250ms"


def compute(
    recording: Annotated[Path, typer.Argument(help="A recording: plain, .gz or .zst.")],
    length: Annotated[
        list[str] | None, typer.Option("--length", help="Windows: 1s, or 10s/1s overlapping.")
    ] = None,
    grace: Annotated[
        str, typer.Option(help="Event time that a window waits for its trades.")
    ] = DEFAULT_GRACE,
    capture: Annotated[
        str | None,
        typer.Option("--from", help=f"A capture of another collector: {', '.join(READERS)}."),
    ] = None,
) -> None:
    """Print the closed windows of a recording as NDJSON, the same bytes as the live path's."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    rules = _rules(length or ["1s"], grace)
    try:
        windows = _print_windows(recording, rules, console, checked_format(capture))
    except NoRecording as error:
        raise UserError(f"{error}. {_hint(recording)}") from error
    except BadRecording as error:
        raise UserError(str(error)) from error
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        return
    if not windows:
        raise NoWindows(
            f"{recording}: no window was closed. A window needs a snapshot of a book "
            "(book.INSTRUMENT.INTERVAL) and messages, or ticks, from after its end"
        )


class NoWindows(UserError):
    """A recording that can be read leads to nothing."""

    exit_code = 1


def _hint(recording: Path) -> str:
    """Say what else a file may be."""
    try:
        reader, _ = read_capture([recording], None, lambda _: None)
    except BadRecording:
        return "It is no capture of another collector that is known here, either"
    return f"It looks like a capture of the format {reader.name}: `--from {reader.name}` reads it"


def _print_windows(recording: Path, rules: Rules, console: Console, capture: str | None) -> int:
    """Print the windows of all books of a recording; return how many there are.

    One book of each instrument is followed at a time. Where a recording has several, it is read
    again for the others: each then has all that came before its first message.
    """
    first = _print_pass(recording, rules, console, capture)
    for name, count in first.unserved.items():
        console.print(f"{why_not_served(name)} Its {count} messages are passed over.", markup=False)
    if first.unserved and not first.served:
        raise UserError(f"{recording}: it holds no instrument that is served")
    total, left = first.windows, set(first.passed_over)
    while left:
        books = _one_of_each(left)
        left -= books
        total += _print_pass(recording, rules, console, capture, books).windows
    return total


def _print_pass(
    recording: Path,
    rules: Rules,
    console: Console,
    capture: str | None,
    books: Collection[str] = (),
) -> Tally:
    out, tally, place, reader = sys.stdout.buffer, Tally(), Place(), None
    with reading(recording, console) as on_bytes:
        if capture is None:
            lines = read_recording(recording, on_bytes, saying_damage(console), place)
        else:
            reader, lines = read_capture([recording], capture, Troubles(console).say)
        where = place if reader is None else None
        for window in compute_windows(lines, rules, tally, books, where):
            out.write(encode_window(window) + b"\n")
    out.flush()
    if reader is not None:
        console.print(about(reader), markup=False)
    console.print(_summary(tally, books), markup=False)
    return tally


def _one_of_each(books: Iterable[str]) -> set[str]:
    """Return one book of each instrument."""
    return set({instrument_of(book): book for book in sorted(books)}.values())


def _summary(tally: Tally, books: Collection[str]) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in sorted(tally.counts.items()) if count)
    said = [
        f"{tally.lines} messages ({tally.other} others, {tally.unreadable} unreadable), "
        f"{tally.windows} windows; {counts or 'nothing applied'}"
    ]
    said += [f"refused: {each.place}: {each.reason}" for each in tally.refused]
    if books:
        said.insert(0, f"read again for {', '.join(sorted(books))}:")
    refused = tally.counts["refused"]
    if refused > len(tally.refused):
        said.append(f"refused: {refused - len(tally.refused)} more")
    return "\n".join(said)


def _rules(lengths: list[str], grace: str) -> Rules:
    try:
        spans = ordered(parse_span(text) for text in lengths)
        plain = tuple(span.length_ms for span in spans if not span.is_hopping)
        hopping = tuple(span for span in spans if span.is_hopping)
        grace_ms = 0 if grace in {"0", "0ms"} else parse_duration(grace)
        # What a worker may not be set to is no window here either.
        checked = Settings(windows=plain or (1_000,), hopping=hopping, trade_grace_ms=grace_ms)
    except ValueError as error:
        raise UserError(f"--length {' '.join(lengths)}: {error}") from error
    return Rules(plain, checked.trade_grace_ms, checked.stale_after_ms, hopping)
