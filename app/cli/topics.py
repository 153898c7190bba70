"""`topics`: the project's topics beside what Kafka has; makes, alters and recreates them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from app.cli.environment import load_settings
from app.errors import UserError
from app.settings import Settings
from app.topics import admin as catalogue

RETRY_INTERVAL_S: Final = 0.5


def topics(
    create: Annotated[bool, typer.Option("--create", help="Create those missing.")] = False,
    alter: Annotated[
        str | None, typer.Option(metavar="NAME", help="Give a topic the wanted configuration.")
    ] = None,
    recreate: Annotated[
        str | None, typer.Option(metavar="NAME", help="Delete a topic and create it anew.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for Kafka.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print the topics and whether they are as they must be; exit 2 if one is not."""
    settings = load_settings()
    asyncio.run(_carry_out(settings, create, alter, recreate, yes, wait))
    states = asyncio.run(_states(settings))
    if as_json:
        for state in states:
            print(json.dumps(row(state)))
    else:
        Console().print(_table(states))
    if found := [mismatch for state in states for mismatch in state.mismatches()]:
        raise catalogue.TopicMismatch(found)


def row(state: catalogue.TopicState) -> dict[str, object]:
    """Return a topic's state as one flat object."""
    mismatches = state.mismatches()
    status = "missing" if state.partitions is None else "wrong" if mismatches else "ok"
    return {
        "topic": state.topic.name,
        "partitions": state.partitions,
        "replication": state.replication,
        "cleanup_policy": state.configs.get("cleanup.policy"),
        "status": status,
        "wrong": [f"{m.what} is {m.found}, wanted {m.wanted}" for m in mismatches],
        "purpose": state.topic.purpose,
    }


async def _carry_out(
    settings: Settings,
    create: bool,
    alter: str | None,
    recreate: str | None,
    yes: bool,
    wait_s: float,
) -> None:
    await _wait_for_kafka(settings, wait_s)
    if create:
        await catalogue.ensure_topics(settings)
    if alter is not None:
        topic = _named(settings, alter)
        async with catalogue.connect(settings) as admin:
            await catalogue.alter(admin, topic)
    if recreate is not None:
        topic = _named(settings, recreate)
        if not yes and not typer.confirm(f"Delete {topic.name} and all that is in it?", err=True):
            raise UserError(f"{topic.name} was left as it is; --yes deletes without asking.")
        async with catalogue.connect(settings) as admin:
            await catalogue.recreate(admin, topic)


async def _wait_for_kafka(settings: Settings, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            async with catalogue.connect(settings):
                return
        except catalogue.KafkaUnreachable:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(RETRY_INTERVAL_S)


async def _states(settings: Settings) -> list[catalogue.TopicState]:
    async with catalogue.connect(settings) as admin:
        return await catalogue.describe(admin, catalogue.topics(settings))


def _named(settings: Settings, name: str) -> catalogue.Topic:
    wanted = catalogue.topics(settings)
    for topic in wanted:
        if name in (topic.name, topic.name.removeprefix(settings.topic_prefix)):
            return topic
    names = ", ".join(topic.name for topic in wanted)
    raise UserError(f"{name} is not a topic of this installation; they are {names}")


def _table(states: list[catalogue.TopicState]) -> Table:
    table = Table("topic", "partitions", "replication", "policy", "status", "purpose")
    table.columns[0].no_wrap = True
    colours = {"ok": "green", "missing": "yellow", "wrong": "red"}
    for state in states:
        values = row(state)
        status = str(values["status"])
        shown = ("topic", "partitions", "replication", "cleanup_policy")
        cells = ["-" if values[name] is None else str(values[name]) for name in shown]
        table.add_row(*cells, f"[{colours[status]}]{status}[/]", str(values["purpose"]))
    return table
