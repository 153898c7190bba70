"""`get`: one answer of a worker's API, as JSON."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from app.cli.environment import load_settings
from app.cli.terminal.api_client import Worker
from app.cli.terminal.output import to_a_pipe, write_line
from app.errors import UserError
from orderbook.instrument_names import is_instrument_name

Url = Annotated[str | None, typer.Option(help="Base URL of a worker; else the one that runs here.")]


class Resource(StrEnum):
    """The resources that can be asked for, named as in the API."""

    INSTRUMENTS = "instruments"
    IMBALANCE = "imbalance"
    BOOKS = "books"
    WINDOWS = "windows"
    QUALITY = "quality"

    @property
    def is_of_one(self) -> bool:
        """Return whether there is an answer about one instrument only."""
        return self in (Resource.BOOKS, Resource.WINDOWS)

    @property
    def is_of_all(self) -> bool:
        """Return whether there is an answer about all instruments only."""
        return self in (Resource.INSTRUMENTS, Resource.QUALITY)


def get(
    resource: Annotated[Resource, typer.Argument(help="What to ask for.")],
    instrument: Annotated[str | None, typer.Argument(help="Such as BTC-PERPETUAL.")] = None,
    depth: Annotated[str | None, typer.Option(help="Of books: levels of a side.")] = None,
    length: Annotated[str | None, typer.Option(help="Of windows: such as 10s.")] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Of windows: ms, or 2026-01-31T12:00:00Z.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="Of windows: the first start not asked for.")
    ] = None,
    limit: Annotated[str | None, typer.Option(help="Of windows: the last so many.")] = None,
    cursor: Annotated[str | None, typer.Option(help="Of windows: from an answer before.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="Of imbalance: a field; -field descends.")
    ] = None,
    max_age_ms: Annotated[
        str | None, typer.Option(help="Fail rather than print what is older.")
    ] = None,
    url: Url = None,
) -> None:
    """Print one answer: {ok, data, meta}. Exit 2: asked wrongly; 1: it cannot be answered now."""
    if resource.is_of_one and instrument is None:
        raise UserError(f"get {resource} needs an instrument, such as BTC-PERPETUAL")
    if resource.is_of_all and instrument is not None:
        raise UserError(f"get {resource} is of all instruments; leave out {instrument!r}")
    if instrument is not None and not is_instrument_name(instrument):
        raise UserError(f"{instrument!r} is no instrument's name; BTC-PERPETUAL is one")
    given = {
        "depth": depth,
        "length": length,
        "from": from_,
        "to": to,
        "limit": limit,
        "cursor": cursor,
        "sort": sort,
        "max_age_ms": max_age_ms,
    }
    query = {name: value for name, value in given.items() if value is not None}
    worker = Worker.chosen(load_settings(), url)
    path = f"/v1/{resource}" if instrument is None else f"/v1/{resource}/{quoted(instrument)}"
    body = worker.ask(path, query)
    if sys.stdout.isatty():
        Console().print_json(body.decode())
        return
    with to_a_pipe():
        write_line(body)


def quoted(name: str) -> str:
    """Return a name as a part of a path; what it must not hold, the worker says."""
    from urllib.parse import quote

    return quote(name, safe="")
