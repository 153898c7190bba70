"""`verify`: are the books that are served what the feed gives, and what the venue has?"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from app.cli.environment import load_settings
from app.cli.get import quoted
from app.cli.terminal.api_client import Refused, Worker
from app.durations import parse_duration
from app.errors import UserError
from app.settings import Settings
from app.verify.live import Ask, Claim, Compared, Verdict, claim_of, compare, decode
from app.verify.records import Unreadable
from app.verify.venue_books import desk

DEPTH: Final = 1_000
COLOURS: Final = {"equal": "green", "different": "red"}


class Different(UserError):
    """A book is not what the feed or the venue says."""

    exit_code = 1


def verify(
    instrument: Annotated[
        list[str] | None, typer.Argument(help="Instruments; all that are served by default.")
    ] = None,
    venue: Annotated[
        bool, typer.Option("--venue", help="Compare with the venue's own books, too.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Read the feed of so long only, such as 10m."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Base URL of a worker's views.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Compare served books with a replay of the feed; exit 1 if one differs, 2 if none can be.

    The whole feed that Kafka still has is read, into books whose code is not the workers'; with
    --since only its end. A book whose last snapshot is older cannot be compared then.
    """
    try:
        since_ms = None if since is None else time.time_ns() // 10**6 - parse_duration(since)
    except ValueError as error:
        raise UserError(f"--since: {error}") from error
    settings = load_settings()
    worker = Worker.chosen(settings, url)
    try:
        verdicts, strays = asyncio.run(_verify(settings, worker, instrument, venue, since_ms))
    except Unreadable as error:
        raise UserError(str(error)) from error
    if as_json:
        for verdict in verdicts:
            print(json.dumps(asdict(verdict)))
    else:
        Console().print(_table(verdicts))
    if strays:
        Console(stderr=True, highlight=False).print(
            f"frames in a partition that is not their instrument's: {strays:,}; workers refuse "
            "them, and so did the replay"
        )
    _conclude(verdicts)


def _conclude(verdicts: list[Verdict]) -> None:
    different = [verdict for verdict in verdicts if verdict.status == "different"]
    if different:
        names = ", ".join(f"{each.instrument} ({each.party})" for each in different)
        raise Different(f"{len(different)} books differ from the replay of the feed: {names}")
    if unmet := [verdict for verdict in verdicts if verdict.status != "equal"]:
        names = ", ".join(f"{each.instrument} ({each.party}: {each.status})" for each in unmet)
        raise UserError(f"{len(unmet)} books cannot be compared now: {names}")
    if not verdicts:
        raise UserError("no instrument is served that could be compared")


async def _verify(
    settings: Settings,
    worker: Worker,
    names: list[str] | None,
    venue: bool,
    since_ms: int | None,
) -> Compared:
    from aiokafka.errors import KafkaError

    served = names if names is not None else await asyncio.to_thread(_served, worker)
    console = Console(stderr=True, highlight=False)
    parties: dict[str, Ask] = {"system": lambda name: asyncio.to_thread(_book, worker, name)}
    try:
        with console.status("replaying the feed") as status:
            read = 0

            def on_records(count: int) -> None:
                nonlocal read
                read += count
                status.update(f"replaying the feed: {read:,} records")

            async with desk(settings.venue_url if venue else None) as asked:
                if asked is not None:
                    parties["venue"] = asked
                feed = f"{settings.topic_prefix}feed"
                return await compare(
                    settings.kafka, feed, parties, served, on_records, since_ms=since_ms
                )
    except (KafkaError, OSError) as error:
        raise UserError(
            f"Kafka at {settings.kafka} (STEELYARD_KAFKA) cannot be read: {error!r}"
        ) from error


def _get(worker: Worker, path: str, query: dict[str, str]) -> Any:
    try:
        return decode(worker.ask(path, query))
    except Refused as error:
        if error.status in {404, 503}:
            return None
        raise
    except ValueError as error:
        raise UserError(f"what answers at {worker.url} is no worker: {error}") from error


def _served(worker: Worker) -> list[str]:
    answer = _get(worker, "/v1/imbalance", {})
    if answer is None:
        raise UserError(f"the worker at {worker.url} does not know any instrument yet")
    return [row["instrument"] for row in answer["data"]]


def _book(worker: Worker, name: str) -> Claim | None:
    answer = _get(worker, f"/v1/books/{quoted(name)}", {"depth": str(DEPTH)})
    if answer is None or answer["data"]["bids"] is None or answer["meta"]["change_id"] is None:
        return None
    data = answer["data"]
    is_whole = max(data["bid_levels"], data["ask_levels"]) <= DEPTH
    return claim_of(data["bids"], data["asks"], answer["meta"]["change_id"], is_whole=is_whole)


def _table(verdicts: list[Verdict]) -> Table:
    table = Table("instrument", "compared with", "result", "change_id", "levels", "differences")
    table.columns[0].no_wrap = True
    for each in verdicts:
        result = f"[{COLOURS.get(each.status, 'yellow')}]{each.status}[/]"
        cells = ("" if each.change_id is None else str(each.change_id), str(each.levels))
        table.add_row(each.instrument, each.party, result, *cells, "\n".join(each.differences))
    return table
