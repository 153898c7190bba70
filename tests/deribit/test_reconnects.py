"""Each way in which a session can end: how long the client stays away, and that it is no hot loop.

The waits are what the client would wait; the test does not wait them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from deribit.auth import Credentials
from deribit.backoff import Attempts, Backoff
from deribit.client import Client
from deribit.events import Disconnected, Event, Notification, Subscribed
from tests.deribit.script import BTC, book, heartbeat
from tests.deribit.server import PATIENCE_S, ScriptedVenue, failing
from tests.deribit.test_client import of, running, until


class Highest(random.Random):
    """Draws the upper end, so that the ceiling of each wait is seen."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the list in which each wait is noted instead of being waited."""
    noted: list[float] = []

    class Noted(Attempts):
        def failed(self, healthy_s: float, least_s: float = 0.0) -> float:
            noted.append(super().failed(healthy_s, least_s))
            return 0.0

    monkeypatch.setattr("deribit.client.Attempts", Noted)
    return noted


async def ends_of(url: str, count: int, key: Credentials | None = None) -> list[Disconnected]:
    """Run a client until its session, or its attempt at one, has ended so many times."""
    client = Client(url, "w", rng=Highest(), credentials=key)
    client.want([BTC])
    async with running(client):
        return of(await until(client, Disconnected, count), Disconnected)[:count]


@pytest.mark.parametrize(
    ("method", "code", "reason", "least_s"),
    [
        ("subscribe", 10028, "too_many_requests", 5.0),
        ("hello", 10028, "too_many_requests", 5.0),
        ("auth", 10028, "too_many_requests", 5.0),
        ("subscribe", 11051, "system_maintenance", 30.0),
        ("hello", 11051, "system_maintenance", 30.0),
        ("subscribe", 11056, "unauthenticated_disabled", 30.0),
        ("hello", 10047, "matching_engine_queue_full", 0.0),
        ("set_heartbeat", -32602, "invalid_params", 0.0),
    ],
)
async def test_errors_that_end_a_session_again_and_again(
    waits: list[float], method: str, code: int, reason: str, least_s: float
) -> None:
    key = Credentials("id", "secret") if method == "auth" else None
    async with ScriptedVenue(failing(method, code)) as venue:
        ends = await ends_of(venue.url, 8, key)
    assert {end.reason for end in ends} == {reason}
    assert waits[:7] == [least_s + wait for wait in (1, 2, 4, 8, 16, 32, 60)]


@pytest.mark.parametrize(("status", "least_s"), [(429, 10.0), (502, 0.0), (503, 0.0)])
async def test_http_statuses_at_the_handshake(
    waits: list[float], status: int, least_s: float
) -> None:
    def refuse(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(status, "no\n")

    async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        ends = await ends_of(f"ws://127.0.0.1:{port}/ws/api/v2", 8)
    assert {end.reason for end in ends} == {"not_connected"}
    assert all(str(status) in end.detail for end in ends)
    assert waits[:7] == [least_s + wait for wait in (1, 2, 4, 8, 16, 32, 60)]


@contextlib.asynccontextmanager
async def venue_that(
    ends: Callable[[ServerConnection], Any],
) -> AsyncIterator[str]:
    """Listen, and end each connection as it is made."""

    async def handle(connection: ServerConnection) -> None:
        await ends(connection)

    async with serve(handle, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws/api/v2"


async def test_connection_too_slow_is_told_apart_and_waited_for(waits: list[float]) -> None:
    async with venue_that(lambda one: one.close(1008, "connection_too_slow")) as url:
        ends = await ends_of(url, 4)
    assert {end.reason for end in ends} == {"connection_too_slow"}
    assert waits[:3] == [6.0, 7.0, 9.0]


async def test_a_venue_that_closes_at_once_is_no_hot_loop(waits: list[float]) -> None:
    async with venue_that(lambda one: one.close(4000, "heartbeat close")) as url:
        ends = await ends_of(url, 4)
    assert {end.reason for end in ends} == {"closed"}
    assert "heartbeat close" in ends[0].detail
    assert waits[:3] == [1.0, 2.0, 4.0]


async def test_the_waits_of_a_fleet_are_spread() -> None:
    first = [Attempts(Backoff(), random.Random(seed)).failed(0.0, 5.0) for seed in range(50)]
    assert min(first) >= 5.1
    assert max(first) - min(first) > 0.7


class Clock:
    """Monotonic time that stands until it is put forward."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (lambda number: book(BTC, number, number - 1), 1.0),
        (lambda number: heartbeat("heartbeat"), 4.0),
    ],
    ids=["data", "heartbeats"],
)
async def test_bug_class_10_only_data_for_30_s_let_the_waits_start_anew(
    waits: list[float], message: Callable[[int], bytes], expected: float
) -> None:
    clock = Clock()
    async with ScriptedVenue() as venue:
        client = Client(venue.url, "w", rng=Highest(), monotonic=clock)
        client.want([BTC])
        async with running(client):
            for _ in range(2):
                await until(client, Subscribed)
                (await venue.connections.get()).transport.abort()
                await until(client, Disconnected)
            await until(client, Subscribed)
            socket = await venue.connections.get()
            await socket.send(book(BTC, 5), text=True)
            await until(client, Notification)
            for number in range(6, 10):
                clock.now += 9.0
                seen = client.counts.messages
                await socket.send(message(number), text=True)
                async with asyncio.timeout(PATIENCE_S):
                    while client.counts.messages == seen:
                        await asyncio.sleep(0.001)
            socket.transport.abort()
            await until(client, Disconnected)
            async with asyncio.timeout(PATIENCE_S):
                while len(waits) < 3:
                    await asyncio.sleep(0.001)
    assert waits[:3] == [1.0, 2.0, expected]


async def test_a_proxy_that_cannot_be_used_is_said_without_its_password(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "gopher://me:canary@127.0.0.1:9")
    events: list[Event] = []
    client = Client("wss://venue.example/ws/api/v2", "w")
    async with running(client):
        events += await until(client, Disconnected)
    (end,) = of(events, Disconnected)[:1]
    assert end.reason == "not_connected"
    assert "the proxy in the environment cannot be used: scheme gopher" in end.detail
    assert "canary" not in repr(events)
