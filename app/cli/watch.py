"""`watch`: all instruments of a worker, live, in the terminal."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live

from app.cli.environment import load_settings
from app.cli.get import Url
from app.cli.terminal.api_client import Worker
from app.cli.terminal.output import run_until_stopped, to_a_pipe
from app.cli.terminal.rendering import draw
from app.cli.terminal.table import Board, Order

DRAW_S: Final = 0.25
PLAIN_CELLS: Final = 160
"""Width of the table where there is no terminal: all columns."""


def watch(
    instruments: Annotated[
        list[str] | None, typer.Argument(help="Such as BTC-PERPETUAL; all by default.")
    ] = None,
    sort: Annotated[
        Order, typer.Option(help="What comes first; imbalance and ofi by their size.")
    ] = Order.INSTRUMENT,
    once: Annotated[
        bool, typer.Option("--once", help="Print the table once; so without a terminal, too.")
    ] = False,
    url: Url = None,
) -> None:
    """Show every instrument's imbalance, flow, quality and age, live, until Ctrl-C."""
    worker = Worker.chosen(load_settings(), url)
    query = {"instruments": ",".join(instruments)} if instruments else {}
    if once or not sys.stdout.isatty():
        with to_a_pipe():
            run_until_stopped(_print_once(worker, query, sort))
    else:
        run_until_stopped(_watch(worker, query, sort))


async def _print_once(worker: Worker, query: dict[str, str], order: Order) -> None:
    width = None if sys.stdout.isatty() else PLAIN_CELLS
    console = Console(highlight=False, width=width)
    board = Board()
    async for event in worker.follow(query, lambda why: None):
        now = time.monotonic()
        board.apply(event, now)
        board.sample(now)
        console.print(draw(board, now, order, console.width, None))
        return


async def _watch(worker: Worker, query: dict[str, str], order: Order) -> None:
    board = Board()
    console = Console(highlight=False)

    def on_lost(why: str) -> None:
        board.trouble = why

    async def listen() -> None:
        async for event in worker.follow(query, on_lost):
            board.apply(event, time.monotonic())

    listening = asyncio.create_task(listen())
    try:
        # The other screen: the lines above come back when it ends.
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while not listening.done():
                now = time.monotonic()
                board.sample(now)
                live.update(draw(board, now, order, console.width, console.height), refresh=True)
                await asyncio.wait({listening}, timeout=DRAW_S)
    finally:
        listening.cancel()
        await asyncio.wait({listening})
    listening.result()  # it only ends by an error, which is said after the screen is left
