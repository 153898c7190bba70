"""`replay`: a recording into the feed, with the receive times that it has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli.environment import load_settings
from app.cli.producing import producer
from app.cli.progress import reading, saying_damage
from app.errors import UserError
from app.recordings.reader import BadRecording, read_recording
from app.recordings.to_frames import REPLAYED, FrameWriter
from models.frame import Frame, encode_frame


def replay(
    recording: Annotated[Path, typer.Argument(help="A recording: plain, .gz or .zst.")],
    speed: Annotated[
        str, typer.Option(help="1 is as it was, 10 ten times as fast, or max.")
    ] = "max",
) -> None:
    """Write a recording into the topic `feed`; the workers compute it as if it were live."""
    try:
        factor = None if speed == "max" else float(speed)
    except ValueError:
        factor = -1.0
    if factor is not None and not factor > 0:
        raise UserError(f"--speed {speed!r}: a number above 0, or max")
    try:
        asyncio.run(_replay(recording, factor))
    except BadRecording as error:
        raise UserError(str(error)) from error


async def _replay(recording: Path, factor: float | None) -> None:
    settings = load_settings()
    console = Console(stderr=True, highlight=False)
    topic = f"{settings.topic_prefix}feed"
    session = f"replay-{time.time_ns():x}"
    started = time.monotonic()
    frames = lines = 0
    async with producer(settings) as client:
        with reading(recording, console) as on_bytes:
            writer = FrameWriter(session, REPLAYED)

            async def send(batch: Iterable[Frame]) -> None:
                nonlocal frames
                for frame in batch:
                    await client.send(topic, encode_frame(frame), key=frame.instrument.encode())
                    frames += 1

            lines_read = read_recording(recording, on_bytes, saying_damage(console))
            for due_s, received_ns, message in _paced(lines_read, factor):
                wait_s = started + due_s - time.monotonic()
                if wait_s > 0:
                    await send(writer.flush())
                    await asyncio.sleep(wait_s)
                lines += 1
                await send(writer.add(received_ns, message))
            await send(writer.flush())
        await client.flush()
    for channel, count in sorted(writer.passed_over.items()):
        console.print(f"passed over: {count} messages of {channel}; a feed has one book of each")
    console.print(
        f"{lines} messages ({writer.other} others, {writer.unreadable} unreadable) "
        f"in {frames} frames to {topic} in {time.monotonic() - started:.1f} s"
    )


def _paced(
    lines: Iterable[tuple[int, bytes]], factor: float | None
) -> Iterator[tuple[float, int, bytes]]:
    """Yield each line with the second of the replay at which it is due."""
    first_ns: int | None = None
    for received_ns, message in lines:
        if first_ns is None:
            first_ns = received_ns
        due_s = 0.0 if factor is None else (received_ns - first_ns) / 1e9 / factor
        yield due_s, received_ns, message
