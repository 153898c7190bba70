"""`subscribe` and `unsubscribe`: what the ingest agents read from the venue."""

from __future__ import annotations

import asyncio
from difflib import get_close_matches
from typing import Annotated

import typer
from rich.console import Console

from app.cli.environment import load_settings
from app.cli.producing import producer
from app.errors import UserError
from app.ingest.subscription_plan import why_not
from app.settings import Settings
from deribit.instrument_list import NotAnswered, open_futures
from models.subscription import Subscription, encode_subscription

Names = Annotated[list[str], typer.Argument(help="Such as BTC-PERPETUAL.", metavar="INSTRUMENT...")]


def subscribe(instruments: Names) -> None:
    """Ingest instruments, whatever the default set says."""
    asyncio.run(_subscribe(list(dict.fromkeys(instruments))))


def unsubscribe(instruments: Names) -> None:
    """Stop ingesting instruments."""
    names = list(dict.fromkeys(instruments))
    if not all(name.strip() for name in names):
        raise UserError("an instrument's name cannot be empty")
    # Any other name will do: an earlier release may have stored it.
    asyncio.run(_write(load_settings(), names, enabled=False))


async def _subscribe(names: list[str]) -> None:
    """Ask the venue whether it lists these names; subscribe all of them, or none."""
    settings, listed = load_settings(), {}
    try:
        listed = await open_futures(settings.venue_url)
    except NotAnswered as error:
        _say(f"whether {settings.venue_url} lists them could not be asked: {error}")
    wrong = {name: why for name in names if (why := why_not(name, listed)) is not None}
    for name in wrong:
        if similar := get_close_matches(name.upper(), listed, n=3):
            wrong[name] += f" Did you mean {' or '.join(similar)}?"
    if wrong:
        raise UserError("\n".join([*wrong.values(), "nothing was subscribed"]))
    await _write(settings, names, enabled=True)


async def _write(settings: Settings, names: list[str], *, enabled: bool) -> None:
    topic = f"{settings.topic_prefix}subscriptions"
    async with producer(settings) as client:
        for name in names:
            value = encode_subscription(Subscription(name, enabled))
            await client.send_and_wait(topic, value, key=name.encode())
    _say(f"{'subscribed' if enabled else 'unsubscribed'}: {', '.join(names)}")


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)
