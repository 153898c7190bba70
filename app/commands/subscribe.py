"""`subscribe` and `unsubscribe`: what the ingest agents read from the venue."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Final

import typer
from rich.console import Console

from app.commands.environment import load_settings
from app.commands.producing import producer
from app.errors import UserError
from models.subscription import Subscription, encode_subscription

INSTRUMENT: Final = re.compile(r"[A-Z0-9][A-Z0-9_.-]{0,63}")

Names = Annotated[list[str], typer.Argument(help="Such as BTC-PERPETUAL.", metavar="INSTRUMENT...")]


def subscribe(instruments: Names) -> None:
    """Ingest instruments, whatever the default set says."""
    asyncio.run(_write(instruments, enabled=True))


def unsubscribe(instruments: Names) -> None:
    """Stop ingesting instruments."""
    asyncio.run(_write(instruments, enabled=False))


async def _write(instruments: list[str], *, enabled: bool) -> None:
    for name in instruments:
        if not INSTRUMENT.fullmatch(name):
            raise UserError(f"{name!r} is no instrument's name: they look like BTC-PERPETUAL")
    settings = load_settings()
    topic = f"{settings.topic_prefix}subscriptions"
    async with producer(settings) as client:
        for name in instruments:
            value = encode_subscription(Subscription(name, enabled))
            await client.send_and_wait(topic, value, key=name.encode())
    done = "subscribed" if enabled else "unsubscribed"
    Console(stderr=True, highlight=False).print(f"{done}: {', '.join(instruments)}")
