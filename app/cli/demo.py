"""`demo` and `live`: Kafka, topics, the venue and one worker in one terminal, until Ctrl-C."""

from __future__ import annotations

import asyncio
import errno
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from app.cli.environment import load_settings
from app.cli.stack.run import DemoStack
from app.cli.stack.stack import StackError, hold_stack
from app.embedded_kafka.data_dir import make_data_dir
from app.embedded_kafka.processes import bind_error, free_port, port_is_free
from app.errors import UserError
from app.recordings.reader import BadRecording, read_recording
from app.settings import TESTNET_URL, Settings
from deribit.decode_books_trades import Unreadable, channel_of, is_incremental_book

ALL_CHANNELS: Final = (
    *Settings.model_fields["channels"].default,
    "quote",
    "perpetual",
    "book.none.10",
)
"""Channels that a demo follows, so that it shows all there is; their cost: docs/measures.md."""
MAX_LINES_READ: Final = 1_000
"""How many lines of a recording are read to find its books."""
WEB_PORTS_TRIED: Final = 100

WebPort = Annotated[
    int | None,
    typer.Option(
        "--port", min=0, max=65_535, help="Web port; else STEELYARD_WEB_PORT, else a free one."
    ),
]


def demo(
    recording: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Play this instead.")
    ] = None,
    speed: Annotated[
        str | None, typer.Option(help="Of the recording: 1 (as it was), 10, …, max.")
    ] = None,
    instruments: Annotated[int, typer.Option(min=1, max=500, help="How many are simulated.")] = 14,
    seed: Annotated[int, typer.Option(help="Same seed, same market.")] = 7,
    port: WebPort = None,
) -> None:
    """Run everything on this machine with a simulated exchange: no account, no network."""
    if recording is None:
        if speed is not None:
            raise UserError(f"--speed {speed}: it is of a recording; give one with --recording")
        exchange = ["--instruments", str(instruments), "--seed", str(seed)]
    else:
        exchange = ["--recording", str(recording.resolve()), "--speed", speed or "1", "--hold"]
        exchange.append("--open-raw")  # what was recorded with a key is played without one
    settings = load_settings(join=False)
    if recording is not None and "book_interval" not in settings.model_fields_set:
        settings = settings.model_copy(update={"book_interval": book_interval(recording)})
    if recording is None and "channels" not in settings.model_fields_set:
        settings = settings.model_copy(update={"channels": ALL_CHANNELS})
    _run("demo", _separate(settings, "demo"), port, exchange)


def book_interval(recording: Path) -> str:
    """Return the interval of the first books in a recording; raise UserError if it has none."""
    try:
        for _, message in islice(
            read_recording(recording, on_damage=lambda _: None), MAX_LINES_READ
        ):
            try:
                channel = channel_of(message)
            except Unreadable:  # the exchange refuses it, and says so
                continue
            if channel is not None and is_incremental_book(channel):
                return channel.rpartition(".")[2]
    except BadRecording as error:
        raise UserError(str(error)) from error
    raise UserError(
        f"{recording}: no books (book.INSTRUMENT.INTERVAL) in its first {MAX_LINES_READ:,} lines"
    )


def live(
    testnet: Annotated[bool, typer.Option("--testnet", help="Deribit's test venue.")] = False,
    port: WebPort = None,
) -> None:
    """Run everything on this machine with Deribit's public feed."""
    settings = load_settings(join=False)
    if testnet:  # the option wins over STEELYARD_VENUE_URL
        settings = settings.model_copy(update={"testnet": True, "venue_url": TESTNET_URL})
    if settings.testnet:
        _run("testnet", _separate(settings, "testnet"), port, None)
    else:
        _run("live", settings, port, None)


def _separate(settings: Settings, kind: str) -> Settings:
    """Keep simulated numbers out of the topics of real ones, unless they were named by hand."""
    if "installation" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"installation": kind})


def _run(kind: str, settings: Settings, port: int | None, exchange: list[str] | None) -> None:
    console = Console(stderr=True, highlight=False)
    make_data_dir(settings.data_dir)
    with hold_stack(settings.data_dir):
        web_port = _web_port(settings, port, console)
        try:
            asyncio.run(DemoStack(kind, settings, web_port, exchange, console).run())
        finally:
            console.print("stopped")


def _web_port(settings: Settings, given: int | None, console: Console) -> int:
    wanted = settings.web_port if given is None else given
    error = bind_error(wanted, settings.web_host)
    if error is None:
        return wanted or free_port(settings.web_host)
    if error.errno != errno.EADDRINUSE:
        raise StackError(
            f"The views cannot be served on port {wanted} of {settings.web_host}: "
            f"{error.strerror or error}.\n"
            "STEELYARD_WEB_HOST must be an address or a name of this machine."
        )
    if given is not None or "web_port" in settings.model_fields_set:
        raise StackError(
            f"Port {wanted} of {settings.web_host} is taken, so the views cannot be served on it.\n"
            "Choose another with --port or STEELYARD_WEB_PORT (0 takes a free one)."
        )
    for port in range(wanted + 1, wanted + WEB_PORTS_TRIED):
        if port_is_free(port, settings.web_host):
            console.print(f"port {wanted} is taken: the views are on {port}")
            return port
    raise StackError(f"No free port between {wanted} and {wanted + WEB_PORTS_TRIED}.")
