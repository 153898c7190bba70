"""`compute`: the windows of a recording as NDJSON, without Kafka."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from app.commands.progress import reading, saying_torn
from app.compute import Tally
from app.compute import compute as compute_windows
from app.durations import parse_duration, parse_span
from app.errors import UserError
from app.processor import Rules
from app.recording import BadRecording, read_recording
from app.settings import Settings
from deribit.served import why_not_served
from models.window import encode_window
from orderbook.span import ordered

DEFAULT_GRACE: Final = "250ms"


def compute(
    recording: Annotated[Path, typer.Argument(help="A recording: plain, .gz or .zst.")],
    length: Annotated[
        list[str] | None, typer.Option("--length", help="Windows: 1s, or 10s/1s overlapping.")
    ] = None,
    grace: Annotated[
        str, typer.Option(help="Event time that a window waits for its trades.")
    ] = DEFAULT_GRACE,
) -> None:
    """Print the closed windows of a recording as NDJSON, the same bytes as the live path's."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    rules = _rules(length or ["1s"], grace)
    tally = Tally()
    out = sys.stdout.buffer
    try:
        with reading(recording, console) as on_bytes:
            lines = read_recording(recording, on_bytes, saying_torn(console))
            for window in compute_windows(lines, rules, tally):
                out.write(encode_window(window) + b"\n")
        out.flush()
    except BadRecording as error:
        raise UserError(str(error)) from error
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        return
    for name, count in tally.unserved.items():
        console.print(f"{why_not_served(name)} Its {count} messages are passed over.", markup=False)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(tally.counts.items()) if count)
    console.print(
        f"{tally.lines} messages ({tally.other} others, {tally.unreadable} unreadable), "
        f"{tally.windows} windows; {counts or 'nothing applied'}"
    )
    if tally.unserved and not tally.served:
        raise UserError(f"{recording}: it holds no instrument that is served")


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
