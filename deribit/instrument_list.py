"""The venue's list of open futures, asked for once, by somebody who follows nothing."""

from __future__ import annotations

import asyncio
from typing import Final

from deribit.client import Client
from deribit.events import Disconnected, Failed, Fatal, Instrument, Instruments
from deribit.vocabulary import Method

LISTING_TIMEOUT_S: Final = 10.0


class NotAnswered(Exception):
    """The venue could not be asked what it lists; the text says why."""


async def open_futures(url: str, timeout_s: float = LISTING_TIMEOUT_S) -> dict[str, Instrument]:
    """Return the open futures of the venue by name; raise NotAnswered."""
    client = Client(url, "asking")
    running = asyncio.create_task(client.run())
    try:
        async with asyncio.timeout(timeout_s):
            return await _listed(client)
    except TimeoutError as error:
        raise NotAnswered(f"no answer within {timeout_s:g} s") from error
    finally:
        await client.close()
        await running


async def _listed(client: Client) -> dict[str, Instrument]:
    while batch := await client.receive():
        for _, event in batch:
            match event:
                case Instruments(instruments):
                    return {each.instrument_name: each for each in instruments}
                case Failed(Method.GET_INSTRUMENTS, code, message):
                    raise NotAnswered(f"error {code} {message}")
                case Disconnected(_, detail) | Fatal(detail):
                    raise NotAnswered(detail)
    raise NotAnswered("the connection was closed")
