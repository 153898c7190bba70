"""`DemoStack`: Kafka, topics, the venue and one worker in one terminal, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.request import getproxies

from mode import Service
from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from app.cli.local_worker import open_direct
from app.cli.settings_ import as_text
from app.cli.stack.stack import Stack, StackError, run_dir, signal_workers, stop_added_workers
from app.cli.stack.supervisor import POLL_INTERVAL_S, Child, ChildFailed, Output, Supervisor
from app.embedded_kafka import EmbeddedBroker
from app.embedded_kafka.processes import free_port
from app.settings import Settings
from app.settings.names import env_name
from app.topics.admin import TopicMismatch, ensure_topics

ROOT: Final = Path(__file__).resolve().parents[3]
OF_ONE_PROCESS: Final = frozenset(
    {
        *("worker_name", "web_port", "web_advertised", "kafka_port"),
        *("client_id", "client_secret", "client_secret_file", "web_token"),
    }
)
"""Settings that the processes of a stack do not share by stack.json."""
READY_POLL_S: Final = 0.5
READY_ANSWER_TIMEOUT_S: Final = 0.5
READY_EXPECTED_S: Final = 60.0
KAFKA_STOP_TIMEOUT_S: Final = 4.0
WORKERS_STOP_TIMEOUT_S: Final = 7.0


class DemoStack(Supervisor):
    """Starts the parts in the order in which they need each other.

    `exchange` are the arguments of the simulated one; None if the venue is a real one.
    """

    def __init__(
        self, kind: str, settings: Settings, port: int, exchange: list[str] | None, console: Console
    ) -> None:
        super().__init__()
        self._kind, self._settings, self._web_port = kind, settings, port
        self._exchange, self._console = exchange, console

    async def on_started(self) -> None:
        settings, console = self._settings, self._console
        broker = None
        if "kafka" not in settings.model_fields_set:
            broker = EmbeddedBroker(settings.data_dir, settings.kafka_port)
        await self.add(_Kafka(broker, settings.data_dir, console))
        if broker is not None:
            settings = settings.model_copy(update={"kafka": broker.bootstrap})
        with _step(console, f"topics on {escape(settings.kafka)}"):
            await _ensure_topics(settings, is_own=broker is not None)
        venue_port = free_port()
        if self._exchange is not None:
            url = f"ws://127.0.0.1:{venue_port}/ws/api/v2"
            # A key of the real venue, set for `live`, is of no use here and would be refused.
            settings = settings.model_copy(update={"venue_url": url, "client_grant": "none"})
        stack = Stack(
            kind=self._kind,
            pid=os.getpid(),
            started_ms=time.time_ns() // 10**6,
            kafka=settings.kafka,
            venue_url=settings.venue_url,
            web_port=self._web_port,
            environment=shared_environment(settings),
            web_host=settings.web_host,
            wants_token=settings.web_token is not None,
        )
        stack.write(settings.data_dir)
        for child in self._children_of(stack, settings, venue_port):
            await self.add(child)
        await self.add(_Readiness(stack, settings.data_dir / "log", console))

    async def on_stop(self) -> None:
        # While venue and Kafka still answer; waited for before Kafka stops.
        signal_workers(self._settings.data_dir, signal.SIGTERM)

    def _children_of(self, stack: Stack, settings: Settings, venue_port: int) -> Iterator[Child]:
        """Yield the exchange, if it is simulated, and the worker."""

        def note_pid(name: str, pid: int) -> None:
            stack.pids[name] = pid
            stack.write(settings.data_dir)

        output = Output(settings.data_dir / "log")
        commands = procfile()
        environment = os.environ | stack.environment
        environment |= {"PYTHON": sys.executable, "PYTHONUNBUFFERED": "1"}
        if self._exchange is not None:
            port_file = run_dir(settings.data_dir).resolve() / "exchange.port"
            port_file.unlink(missing_ok=True)
            options = ["--port", str(venue_port), "--port-file", str(port_file), *self._exchange]
            command = f"{commands['exchange']} {shlex.join(options)}"
            ready = port_file.exists
            yield Child("exchange", command, environment, ROOT, output, note_pid, is_ready=ready)
        environment |= _secrets(settings) | {"STEELYARD_WORKER_NAME": "worker-1"}
        environment |= {"STEELYARD_WEB_PORT": str(self._web_port)}
        command = commands["worker"]
        yield Child("worker-1", command, environment, ROOT, output, note_pid, restarted=True)


class _Kafka(Service):  # type: ignore[misc]
    """Kafka, where it is one of ours, for all who need it: added workers stop before it, too."""

    def __init__(self, broker: EmbeddedBroker | None, data_dir: Path, console: Console) -> None:
        super().__init__()
        self._broker, self._data_dir, self._console = broker, data_dir, console

    async def on_start(self) -> None:
        if self._broker is not None:
            with _step(self._console, "Kafka"):
                await self._broker.start()
            self.add_future(self._watch(self._broker))

    async def on_stop(self) -> None:
        await asyncio.to_thread(stop_added_workers, self._data_dir, WORKERS_STOP_TIMEOUT_S)
        if self._broker is not None:
            await self._broker.stop(KAFKA_STOP_TIMEOUT_S)

    async def _watch(self, broker: EmbeddedBroker) -> None:
        while not self.should_stop:
            if not broker.running:
                raise ChildFailed(str(broker.death()))
            await self.sleep(POLL_INTERVAL_S)


class _Readiness(Service):  # type: ignore[misc]
    """Asks the worker whether it is ready, from time to time, and says so once."""

    def __init__(self, stack: Stack, log_dir: Path, console: Console) -> None:
        super().__init__()
        self._stack, self._log_dir, self._console = stack, log_dir, console

    async def on_start(self) -> None:
        self.add_future(self._wait())

    async def _wait(self) -> None:
        url = f"{self._stack.url}readyz"
        late_at: float | None = time.monotonic() + READY_EXPECTED_S
        while not self.should_stop:
            if await asyncio.to_thread(_answers, url):
                self._console.print(_panel(self._stack, self._log_dir))
                return
            if late_at is not None and time.monotonic() > late_at:
                late_at = None
                late = f"not ready after {READY_EXPECTED_S:.0f} s; {escape(url)} says why"
                self._console.print(f"[yellow]{late}[/yellow]")
            await self.sleep(READY_POLL_S)


def _panel(stack: Stack, log_dir: Path) -> Panel:
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
        f"logs     {escape(str(log_dir))}",
        "stop     Ctrl-C",
    )
    title = f"Steelyard {stack.kind}" + (" (SIMULATED)" if simulated else "")
    return Panel("\n".join(lines), title=title, expand=False)


def _answers(url: str) -> bool:
    try:
        with open_direct(url, READY_ANSWER_TIMEOUT_S) as answer:
            return answer.status == 200
    except (OSError, HTTPException):
        return False


@contextmanager
def _step(console: Console, what: str) -> Iterator[None]:
    started = time.monotonic()
    console.print(f"starting {what} …")
    yield
    console.print(f"[green]✓[/green] {what} ({time.monotonic() - started:.1f} s)")


async def _ensure_topics(settings: Settings, *, is_own: bool) -> None:
    """Make the topics; in a Kafka of our own the commands that mend them could not be run."""
    try:
        await ensure_topics(settings)
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


def procfile() -> dict[str, str]:
    """Return the Procfile's commands by name."""
    return dict(re.findall(r"^([\w-]+): *(.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE))


def shared_environment(settings: Settings) -> dict[str, str]:
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
