"""`book`: the order book of an instrument as of a past instant, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli.environment import load_settings
from app.cli.progress import reading, saying_damage
from app.durations import parse_time
from app.errors import UserError
from app.recordings.book_at import BookAt, NoBook
from app.recordings.reader import BadRecording, read_recording
from app.recordings.to_frames import FrameWriter
from app.topics.partitioner import partition_of
from app.verify.records import Unreadable, consumer, partitions_of, stream
from models.frame import decode_frame
from orderbook.instrument_names import EXAMPLE, is_instrument_name


def book(
    instrument: Annotated[str, typer.Argument(help="Such as BTC-PERPETUAL.")],
    recording: Annotated[
        Path | None,
        typer.Argument(help="A recording, or a folder of one; else what the topic feed still has."),
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="The venue's time: 2026-01-31T12:00:00Z, or ms.")
    ] = None,
    change_id: Annotated[
        int | None,
        typer.Option(help="Instead of a time: the book after this change."),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Levels of a side; all without it.")
    ] = None,
) -> None:
    """Print an order book as it was at a time or after a change, computed as by a worker."""
    if not is_instrument_name(instrument):
        raise UserError(f"{instrument!r} is no instrument name: {EXAMPLE}")
    if (at is None) == (change_id is None):
        raise UserError("give one of --at and --change-id: the instant whose book is wanted")
    try:
        wanted = BookAt(
            instrument, at_ms=None if at is None else parse_time(at), change_id=change_id
        )
    except ValueError as error:
        raise UserError(f"--at: {error}") from error
    try:
        if recording is None:
            asyncio.run(_follow_feed(wanted))
        else:
            _follow_recording(wanted, recording)
        answer = wanted.answer(depth)
    except (BadRecording, Unreadable) as error:
        raise UserError(str(error)) from error
    except NoBook as error:
        source = "the topic feed" if recording is None else str(recording)
        raise NoSuchBook(f"{source}: {error}") from error
    json.dump(answer, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")


class NoSuchBook(UserError):
    """Is raised where what could be read holds no such book."""

    exit_code = 1


def _follow_recording(wanted: BookAt, recording: Path) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    writer = FrameWriter("recording", "recording", items=1)
    with reading(recording, console) as on_bytes:
        for received_ns, message in read_recording(recording, on_bytes, saying_damage(console)):
            if wanted.take(writer.add(received_ns, message)):
                return
        wanted.take(writer.flush())


async def _follow_feed(wanted: BookAt) -> None:
    settings = load_settings()
    async with consumer(settings.kafka) as client:
        partitions = await partitions_of(client, f"{settings.topic_prefix}feed")
        number = partition_of(wanted.instrument, len(partitions))
        mine = [tp for tp in partitions if tp.partition == number]
        async for batch in stream(client, mine):
            for record in batch:
                try:
                    frame = decode_frame(record.value or b"")
                except ValueError:
                    continue  # workers pass it over, too, and note it in the topic refused
                if wanted.take([frame]):
                    return
