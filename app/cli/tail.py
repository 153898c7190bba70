"""`tail`: what a worker pushes, one JSON object a line."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from app.cli.environment import load_settings
from app.cli.get import Url
from app.cli.terminal.api_client import Worker
from app.cli.terminal.output import run_until_stopped, to_a_pipe, write_line
from app.cli.terminal.sse import Event
from app.errors import UserError

STATES: Final = "states"
WINDOWS: Final = "windows"


class _Pushed(msgspec.Struct):
    """The rows of an event, as the bytes that they came as."""

    states: list[msgspec.Raw] = []
    windows: list[msgspec.Raw] = []


_pushed = msgspec.json.Decoder(_Pushed)


def tail(
    instruments: Annotated[
        list[str] | None, typer.Argument(help="Such as BTC-PERPETUAL; all by default.")
    ] = None,
    length: Annotated[
        list[str] | None,
        typer.Option("--length", help="Closed windows of this length; repeatable."),
    ] = None,
    states: Annotated[
        bool | None,
        typer.Option("--states/--no-states", help="Current states; by default without --length."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="End after so many lines; else at Ctrl-C.")
    ] = None,
    url: Url = None,
) -> None:
    """Print current states, or closed windows, as they come: NDJSON, for pipes.

    When the connection is lost it is made anew, and what changed meanwhile comes first.
    """
    with_states = states if states is not None else not length
    query = {STATES: "true" if with_states else "false"}
    if length:
        query["lengths"] = ",".join(length)
    if instruments:
        query["instruments"] = ",".join(instruments)
    if not with_states and not length:
        raise UserError("--no-states leaves nothing to print: give a --length, such as 1s")
    worker = Worker.chosen(load_settings(), url)
    with to_a_pipe():
        run_until_stopped(_tail(worker, query, count))


async def _tail(worker: Worker, query: dict[str, str], count: int | None) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)

    lost = ""

    def on_lost(why: str) -> None:
        nonlocal lost
        if why == lost:  # once, however often connecting fails
            return
        lost = why
        console.print(f"[yellow]lost[/] {worker.url}: {escape(why)}; connecting again")

    left = count
    async for event in worker.follow(query, on_lost):
        if lost:
            console.print(f"[green]connected[/] to {worker.url} again")
            lost = ""
        for row in rows_of(event):
            write_line(row)
            if left is not None:
                left -= 1
                if left == 0:
                    return


def rows_of(event: Event) -> list[bytes]:
    """Return the rows that an event carries, each as it came."""
    if event.type not in (STATES, WINDOWS):
        return []
    pushed = _pushed.decode(event.data)
    return [bytes(row) for row in pushed.states + pushed.windows]
