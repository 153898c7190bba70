"""`demo` and `live`: Kafka, topics, the venue and one worker in one terminal, until Ctrl-C."""

from __future__ import annotations

import asyncio
import errno
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Annotated, Final
from urllib.request import getproxies

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from app.cli.environment import load_settings
from app.cli.local_worker import open_direct
from app.cli.settings_ import as_text
from app.cli.stack.stack import (
    Stack,
    StackError,
    hold_stack,
    run_dir,
    signal_workers,
    stop_added_workers,
)
from app.cli.stack.supervisor import Supervisor
from app.embedded_kafka import EmbeddedBroker
from app.embedded_kafka.data_dir import make_data_dir
from app.embedded_kafka.processes import bind_error, free_port, port_is_free
from app.errors import UserError
from app.recordings.reader import BadRecording, read_recording
from app.settings import TESTNET_URL, Settings
from app.settings.names import env_name
from app.topics.admin import TopicMismatch, ensure_topics
from deribit.decode_books_trades import Unreadable, channel_of, is_incremental_book

ROOT: Final = Path(__file__).resolve().parents[2]
OF_ONE_PROCESS: Final = frozenset(
    {
        *("worker_name", "web_port", "web_advertised", "kafka_port"),
        *("client_id", "client_secret", "client_secret_file", "web_token"),
    }
)
"""Settings that the processes of a stack do not share by stack.json."""
ALL_CHANNELS: Final = (
    *Settings.model_fields["channels"].default,
    "quote",
    "perpetual",
    "book.none.10",
)
"""Of the simulated exchange, so that a demo shows all there is; docs/measures.md has their cost."""
MAX_LINES_READ: Final = 1_000
"""Of a recording, to see which books are in it."""
WEB_PORTS_TRIED: Final = 100
READY_POLL_S: Final = 0.5
READY_ANSWER_TIMEOUT_S: Final = 0.5
READY_EXPECTED_S: Final = 60.0
KAFKA_STOP_TIMEOUT_S: Final = 4.0
WORKERS_STOP_TIMEOUT_S: Final = 7.0

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
    signal.signal(signal.SIGTERM, _as_interrupt)
    make_data_dir(settings.data_dir)
    with hold_stack(settings.data_dir):
        web_port = _web_port(settings, port, console)
        broker = None
        if "kafka" not in settings.model_fields_set:
            broker = EmbeddedBroker(settings.data_dir, settings.kafka_port)
        try:
            if broker is not None:
                with _step(console, "Kafka"):
                    asyncio.run(broker.start())
                settings = settings.model_copy(update={"kafka": broker.bootstrap})
            with _step(console, f"topics on {escape(settings.kafka)}"):
                _ensure_topics(settings, is_own=broker is not None)
            failure = _supervise(kind, settings, web_port, exchange, broker, console)
        except KeyboardInterrupt:
            failure = None
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # the rest is bounded, and must be done
            stop_added_workers(settings.data_dir, WORKERS_STOP_TIMEOUT_S)
            if broker is not None:
                asyncio.run(broker.stop(KAFKA_STOP_TIMEOUT_S))
        console.print("stopped")
    if failure is not None:
        raise ChildFailed(failure)


def _ensure_topics(settings: Settings, *, is_own: bool) -> None:
    """Make the topics; in a Kafka of our own the commands that mend them could not be run."""
    try:
        asyncio.run(ensure_topics(settings))
    except TopicMismatch as error:
        if not is_own:
            raise
        folder = settings.data_dir.resolve()
        found = "\n  ".join(f"{m.topic}: {m.what} is {m.found}" for m in error.mismatches)
        raise StackError(
            f"The data in {folder} were made with other settings:\n  {found}\n"
            "Set them as they were, set STEELYARD_DATA_DIR to another folder, or begin anew "
            f"without what there is: rm -r {folder / 'kafka'} {folder / 'workers'}"
        ) from error


class ChildFailed(UserError):
    """A part of the stack ended by itself."""

    exit_code = 1


def _supervise(
    kind: str,
    settings: Settings,
    web_port: int,
    exchange: list[str] | None,
    broker: EmbeddedBroker | None,
    console: Console,
) -> str | None:
    """Run exchange and worker until they end; return why, unless somebody asked for it."""
    venue_port = free_port()
    if exchange is not None:
        url = f"ws://127.0.0.1:{venue_port}/ws/api/v2"
        # A key of the real venue, set for `live`, is of no use here and would be refused.
        settings = settings.model_copy(update={"venue_url": url, "client_grant": "none"})
    shared = _shared_environment(settings)
    child = os.environ | shared | {"PYTHON": sys.executable, "PYTHONUNBUFFERED": "1"}
    stack = Stack(
        kind, os.getpid(), time.time_ns() // 10**6, settings.kafka, settings.venue_url, web_port
    )
    stack.environment = shared
    stack.web_host, stack.wants_token = settings.web_host, settings.web_token is not None
    stack.write(settings.data_dir)

    readiness = _Readiness(stack, settings, console)

    def watch() -> str | None:
        if broker is not None and not broker.running:
            return str(broker.death())
        readiness.look(supervisor.pids())
        return None

    def stop_workers() -> None:
        signal_workers(settings.data_dir, signal.SIGTERM)  # while venue and Kafka still answer

    log_dir = settings.data_dir / "log"
    log_dir.mkdir(parents=True, exist_ok=True)
    supervisor = Supervisor(log_dir, watch, stop_workers)
    commands = procfile()
    if exchange is not None:
        port_file = run_dir(settings.data_dir).resolve() / "exchange.port"
        port_file.unlink(missing_ok=True)
        arguments = ["--port", str(venue_port), "--port-file", str(port_file), *exchange]
        command = f"{commands['exchange']} {shlex.join(arguments)}"
        supervisor.add("exchange", command, child, ROOT, port_file.exists)
    own = {"STEELYARD_WORKER_NAME": "worker-1", "STEELYARD_WEB_PORT": str(web_port)}
    worker = child | _secrets(settings) | own
    supervisor.add("worker-1", commands["worker"], worker, ROOT, lambda: True, restarted=True)
    supervisor.loop()
    return supervisor.failure


class _Readiness:
    """Asks the worker whether it is ready, from time to time, and says so once.

    It keeps the pids in stack.json, which change whenever a child is started again.
    """

    def __init__(self, stack: Stack, settings: Settings, console: Console) -> None:
        self._stack, self._settings, self._console = stack, settings, console
        self._started = self._next = time.monotonic()
        self._said = self._said_late = False

    def look(self, pids: dict[str, int]) -> None:
        if pids != self._stack.pids:
            self._stack.pids = pids
            self._stack.write(self._settings.data_dir)
        now = time.monotonic()
        if self._said or now < self._next:
            return
        self._next = now + READY_POLL_S
        if _answers(f"{self._stack.url}readyz"):
            self._said = True
            self._console.print(self._panel())
        elif now > self._started + READY_EXPECTED_S and not self._said_late:
            self._said_late = True
            self._console.print(
                f"[yellow]not ready after {READY_EXPECTED_S:.0f} s; "
                f"{escape(self._stack.url)}readyz says why[/yellow]"
            )

    def _panel(self) -> Panel:
        stack = self._stack
        simulated = stack.kind == "demo"
        venue = "SIMULATED exchange" if simulated else stack.venue_url
        curl = "curl -s"
        if getproxies().keys() & {"http", "all"}:  # curl would ask it for this machine, too
            curl += " --noproxy '*'"
        if stack.wants_token:
            curl += ' -H "Authorization: Bearer $STEELYARD_WEB_TOKEN"'
        url = escape(stack.url)
        lines = (
            f"page     [bold]{url}[/bold]" + " (password: the token)" * stack.wants_token,
            f"try      {curl} '{url}v1/imbalance'",
            "scale    make worker        (in another terminal: one more worker)",
            f"Kafka    {escape(stack.kafka)}",
            f"venue    {escape(venue)}",
            f"logs     {escape(str(self._settings.data_dir / 'log'))}",
            "stop     Ctrl-C",
        )
        title = f"Steelyard {stack.kind}" + (" (SIMULATED)" if simulated else "")
        return Panel("\n".join(lines), title=title, expand=False)


def procfile() -> dict[str, str]:
    """Return the Procfile's commands by name."""
    from honcho.environ import parse_procfile

    return dict(parse_procfile((ROOT / "Procfile").read_text()).processes)


def _shared_environment(settings: Settings) -> dict[str, str]:
    """Return what each process of this stack, added ones too, must have in its environment.

    No secret: it is written to stack.json. An added worker takes its own from the environment.
    """
    values = {
        name: as_text(name, value)
        for name, value in settings
        if name not in OF_ONE_PROCESS
        and not isinstance(value, SecretStr)
        and value != Settings.model_fields[name].default
    }
    values["kafka"] = settings.kafka
    values["data_dir"] = str(settings.data_dir.resolve())
    return {env_name(name): value for name, value in values.items()}


def _secrets(settings: Settings) -> dict[str, str]:
    """Return the secrets that are set, to be put into the environment of a process only."""
    return {
        env_name(name): value.get_secret_value()
        for name, value in settings
        if isinstance(value, SecretStr)
    }


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


@contextmanager
def _step(console: Console, what: str) -> Iterator[None]:
    started = time.monotonic()
    console.print(f"starting {what} …")
    yield
    console.print(f"[green]✓[/green] {what} ({time.monotonic() - started:.1f} s)")


def _answers(url: str) -> bool:
    try:
        with open_direct(url, READY_ANSWER_TIMEOUT_S) as answer:
            return answer.status == 200
    except (OSError, HTTPException):
        return False


def _as_interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
