"""A socket that is silent: how soon it is known, and how soon it is given up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from deribit.events import Disconnected, Reconnect, Subscribed, Tick
from tests.deribit.script import BTC, Venue, book
from tests.deribit.server import ScriptedVenue
from tests.deribit.test_client import client_of, of, running, until

STALE_MS = 3_000
DETECTED_S = 25.0
SOCKET_SILENCE_S = 35.0


def silent_after(seconds: float) -> tuple[Venue, float]:
    """Return a session whose venue has said its last word, after so many seconds, and when."""
    venue = Venue(BTC).ready()
    venue.says(book(BTC, 1))
    change_id = 1
    for _ in range(round(seconds / 0.05)):
        venue.tick(0.05)
        change_id += 1
        venue.says(book(BTC, change_id, change_id - 1))
        for request in list(venue.asked):
            venue.answer_one(request)
    venue.events.clear()
    return venue, venue.now


@pytest.mark.parametrize("phase", [0.0, 0.05, 0.2, 0.45, 0.7, 0.9, 0.95])
def test_b10_a_half_open_socket_is_known_after_3_s_and_given_up_within_25_s(phase: float) -> None:
    venue, silent_at = silent_after(5.0 + phase)
    stale_at, ended_at = None, None
    while venue.now < silent_at + 60.0 and ended_at is None:
        for event in venue.tick(0.05):
            if isinstance(event, Tick) and event.quiet_ms >= STALE_MS and stale_at is None:
                stale_at = venue.now
            if isinstance(event, Reconnect):
                ended_at = venue.now
    assert stale_at is not None
    assert ended_at is not None
    assert STALE_MS / 1000 <= stale_at - silent_at <= STALE_MS / 1000 + 0.6
    assert ended_at - silent_at <= 12.0 < DETECTED_S < SOCKET_SILENCE_S


def test_a_socket_that_never_speaks_is_given_up_too() -> None:
    venue = Venue(BTC)
    (end,) = venue.tick(SOCKET_SILENCE_S)
    assert isinstance(end, Reconnect)


@contextlib.asynccontextmanager
async def silent_proxy(url: str) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Forward connections to a server until the event is set; then swallow all, closing nothing."""
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    silenced = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []
    tasks: set[asyncio.Task[None]] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                if not silenced.is_set():
                    writer.write(data)
        if not silenced.is_set():
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, up_writer))
        for pair in ((reader, up_writer), (up_reader, writer)):
            task = asyncio.create_task(forward(*pair))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        at = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{at}/ws/api/v2", silenced
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        for task in tasks:
            task.cancel()


async def test_b10_a_proxy_that_goes_silent_is_noticed_and_left() -> None:
    async with ScriptedVenue() as venue, silent_proxy(venue.url) as (url, silenced):
        client = client_of(url, request_timeout_s=0.4)
        client.want([BTC])
        async with running(client):
            await until(client, Subscribed)
            silenced.set()
            events = await until(client, Disconnected)
            assert of(events, Disconnected)[0].reason == "unanswered"
            silenced.clear()  # what comes next is forwarded again
            await until(client, Subscribed)
        assert len(venue.connected_at) >= 2
