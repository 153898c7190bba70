"""The client over real sockets: reconnects, answers at load, overflows, closes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest
from websockets.asyncio.server import ServerConnection as Socket
from websockets.asyncio.server import serve

import deribit.client
from deribit.auth import Credentials
from deribit.backoff import Backoff
from deribit.client import Client
from deribit.events import (
    Connected,
    Disconnected,
    Event,
    Fatal,
    GapFound,
    Notification,
    Subscribed,
    Tick,
)
from deribit.frame_reader import FastConnection
from tests.deribit.script import BTC, ETH, book, heartbeat
from tests.deribit.server import PATIENCE_S, ScriptedVenue, failing, usual_answer

T = TypeVar("T")
QUICK = Backoff(first_s=0.02, cap_s=0.1, floor_s=0.01)


@contextlib.asynccontextmanager
async def running(client: Client) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(client.run())
    try:
        yield task
    finally:
        await asyncio.wait_for(client.close(), PATIENCE_S)
        await asyncio.wait_for(task, PATIENCE_S)


def client_of(url: str, **options: object) -> Client:
    options.setdefault("backoff", QUICK)
    return Client(url, "worker-1", rng=random.Random(5), **options)  # type: ignore[arg-type]


async def until(client: Client, kind: type, count: int = 1) -> list[Event]:
    """Receive until an event of a kind has come so many times; return all events."""
    events: list[Event] = []
    async with asyncio.timeout(PATIENCE_S):
        while sum(isinstance(event, kind) for event in events) < count:
            batch = await client.receive()
            assert batch, f"the client finished before a {kind.__name__}; there was {events}"
            events += [event for _, event in batch]
    return events


@contextlib.asynccontextmanager
async def following(**options: object) -> AsyncIterator[tuple[Client, Socket, ScriptedVenue]]:
    """Yield a client that has subscribed a book, the venue's end of its connection, the venue."""
    async with ScriptedVenue() as venue:
        client = client_of(venue.url, **options)
        client.want([BTC])
        async with running(client):
            await until(client, Subscribed)
            yield client, await venue.connections.get(), venue


def of(events: list[Event], kind: type[T]) -> list[T]:
    """Return the events of a kind."""
    return [event for event in events if isinstance(event, kind)]


async def test_messages_come_in_order_as_they_were_sent_with_a_receive_time() -> None:
    async with ScriptedVenue() as venue:
        client = client_of(venue.url, time_ns=iter(range(1_000, 10_000)).__next__)
        client.want([BTC])
        async with running(client):
            events = await until(client, Subscribed)
            assert of(events, Connected) == [Connected(False, session="worker-1-3e8-1")]
            assert of(events, Subscribed) == [Subscribed((BTC,))]
            socket = await venue.connections.get()
            sent = [book(BTC, 5), book(BTC, 6, 5), book(BTC, 7, 6)]
            for message in sent:
                await socket.send(message, text=True)
            received: list[tuple[int, Event]] = []
            while len(received) < 3:
                batch = await client.receive()
                received += [one for one in batch if isinstance(one[1], Notification)]
        assert [event.raw for _, event in received] == sent
        stamps = [stamp for stamp, _ in received]
        assert stamps == sorted(set(stamps))


async def test_it_reconnects_with_waits_that_grow_and_subscribes_again() -> None:
    async with ScriptedVenue(failing("subscribe", 10028)) as venue:

        class Highest(random.Random):
            def uniform(self, a: float, b: float) -> float:
                return b / 100  # the venue's own least wait of 5 s is taken away below

        client = Client(venue.url, "w", backoff=Backoff(first_s=2.0, cap_s=16.0), rng=Highest())
        client.want([BTC])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("deribit.protocol.least_wait_s", lambda code: 0.0)
            async with running(client):
                ends = await until(client, Disconnected, 6)
        assert {event.reason for event in of(ends, Disconnected)} == {"too_many_requests"}
        sessions = [event.session for event in of(ends, Connected)]
        assert len(set(sessions)) == 6
        at = venue.connected_at[:6]
        waits = [after - before for before, after in itertools.pairwise(at)]
        for wait, least in zip(waits, [0.02, 0.04, 0.08, 0.16, 0.16], strict=True):
            assert wait >= least
        assert client.counts.disconnects["too_many_requests"] >= 6


async def test_a_venue_that_is_not_there_is_tried_again_without_end() -> None:
    async with ScriptedVenue() as venue:
        url = venue.url
    client = client_of(url)
    async with running(client):
        events = await until(client, Disconnected, 4)
    assert {event.reason for event in of(events, Disconnected)} == {"not_connected"}


async def test_a_dropped_connection_is_made_again() -> None:
    async with ScriptedVenue() as venue:
        client = client_of(venue.url)
        client.want([BTC, ETH])
        async with running(client):
            await until(client, Subscribed)
            (await venue.connections.get()).transport.abort()
            events = await until(client, Subscribed)
        assert [event.reason for event in of(events, Disconnected)] == ["reset"]
        assert Subscribed((BTC, ETH)) in events


async def test_bug_class_12_a_test_request_is_answered_while_nobody_consumes() -> None:
    async with ScriptedVenue() as venue:
        client = client_of(venue.url, queue_max_messages=100)
        client.want([BTC])
        async with running(client):
            await venue.asked("subscribe")
            socket = await venue.connections.get()
            await socket.send(book(BTC, 1), text=True)
            for change_id in range(2, 2_000):
                await socket.send(book(BTC, change_id, change_id - 1), text=True)
            while not venue.requests.empty():
                venue.requests.get_nowait()
            await socket.send(heartbeat("test_request"), text=True)
            await venue.asked("test")
            assert client.counts.messages > 2_000


async def test_an_overflow_is_dropped_marked_and_healed_by_a_snapshot() -> None:
    async with following(queue_max_messages=50) as (client, socket, venue):
        await venue.asked("subscribe")
        await socket.send(book(BTC, 1), text=True)
        for change_id in range(2, 500):
            await socket.send(book(BTC, change_id, change_id - 1), text=True)
        await socket.send(heartbeat("test_request"), text=True)
        await venue.asked("test")
        events = [event for _, event in client.take()]
        kept = of(events, Notification)
        marks = of(events, GapFound)
        assert len(kept) <= 50
        assert len(marks) == 1
        assert events.index(marks[0]) > events.index(kept[-1])
        assert client.counts.overflowed == 1  # what follows is dropped by the broken chain
        assert client.counts.dropped.awaiting_snapshot == 499 - len(kept) - 1
        await venue.asked("unsubscribe")
        await venue.asked("subscribe")
        await socket.send(book(BTC, 900), text=True)
        (healed,) = [e for e in await until(client, Notification) if isinstance(e, Notification)]
        assert healed.raw == book(BTC, 900)


async def test_a_ping_is_answered_while_nobody_consumes_and_the_queue_is_full() -> None:
    async with following(queue_max_messages=5) as (client, socket, _):
        await socket.send(book(BTC, 1), text=True)
        for change_id in range(2, 50):
            await socket.send(book(BTC, change_id, change_id - 1), text=True)
        await asyncio.wait_for(await socket.ping(), PATIENCE_S)
        assert client.counts.overflowed == 1
        assert len(client.take()) == 5 + 1  # and the mark, which always fits


async def test_what_was_sent_before_a_close_comes_before_the_end() -> None:
    async with following() as (client, socket, _):
        sent = [book(BTC, 1), *(book(BTC, n, n - 1) for n in range(2, 500))]
        for message in sent:
            await socket.send(message, text=True)
        await socket.close(4001, "connection_too_slow")
        events = await until(client, Disconnected)
        assert [event.raw for event in of(events, Notification)] == sent
        assert events[-1] == of(events, Disconnected)[0]
        assert of(events, Disconnected)[0].reason == "connection_too_slow"


async def test_a_message_in_fragments_is_one_message() -> None:
    async with following() as (client, socket, _):
        first, text = book(BTC, 1), book(BTC, 2, 1).decode()
        await socket.send(first, text=True)
        await socket.send([text[:10], text[10:11], text[11:]])
        events = await until(client, Notification, 2)
        assert [event.raw for event in of(events, Notification)] == [first, text.encode()]


async def test_a_bug_of_ours_ends_the_client_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object, raw: bytes, now: float) -> list[Event]:
        raise LookupError("a bug")

    monkeypatch.setattr("deribit.protocol.Session.received", fail)
    async with ScriptedVenue() as venue:
        client = client_of(venue.url)
        with pytest.raises(ExceptionGroup) as found:
            await asyncio.wait_for(client.run(), PATIENCE_S)
        assert found.group_contains(LookupError, match="a bug")
        (end,) = of([event for _, event in client.take()], Disconnected)
        assert end.reason == "cancelled"


async def test_wrong_credentials_end_the_client(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with ScriptedVenue(failing("auth", 13004)) as venue:
        client = client_of(venue.url, credentials=Credentials("id", "canary-secret"))
        async with running(client) as task:
            events = await until(client, Fatal)
            await asyncio.wait_for(task, 3)
        assert [type(event) for event in events[-2:]] == [Disconnected, Fatal]
        assert await client.receive() == []
        assert len(venue.connected_at) == 1
    ours = [record.getMessage() for record in caplog.records if "server" not in record.name]
    assert "canary-secret" not in repr((ours, events))


async def test_an_unanswered_request_ends_the_session() -> None:
    async with ScriptedVenue(lambda request: None) as venue:
        client = client_of(venue.url, request_timeout_s=0.1)
        async with running(client):
            events = await until(client, Disconnected, 2)
    assert {event.reason for event in of(events, Disconnected)} == {"unanswered"}


async def test_close_does_not_wait_for_a_handshake_that_hangs() -> None:
    connected = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = client_of(f"ws://127.0.0.1:{port}/ws/api/v2")
    task = asyncio.create_task(client.run())
    await asyncio.wait_for(connected.wait(), PATIENCE_S)
    await asyncio.wait_for(client.close(), 3)
    await asyncio.wait_for(task, 3)
    server.close()


async def test_close_in_the_turn_in_which_the_socket_is_opened_ends_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found by a test that stood: the client was told to close just then, and went on for good."""
    open_socket = deribit.client.open_socket

    async with ScriptedVenue() as venue:
        client = client_of(venue.url)

        async def closed_just_then(url: str) -> FastConnection:
            socket = await open_socket(url)
            await client.close()
            return socket

        monkeypatch.setattr(deribit.client, "open_socket", closed_just_then)
        await asyncio.wait_for(client.run(), PATIENCE_S)
        events = await until(client, Disconnected)
        assert [event.reason for event in of(events, Disconnected)] == ["stopped"]
        assert await client.receive() == []


async def test_close_says_so_in_the_stream_and_ends_it() -> None:
    async with ScriptedVenue() as venue:
        client = client_of(venue.url)
        client.want([BTC])
        async with running(client) as task:
            await until(client, Subscribed)
            await client.close()
            await asyncio.wait_for(task, PATIENCE_S)
            events = await until(client, Disconnected)
            assert [event.reason for event in of(events, Disconnected)] == ["stopped"]
            assert await client.receive() == []


async def test_a_message_above_the_limit_ends_the_session_not_the_client() -> None:
    async with ScriptedVenue() as venue:
        client = client_of(venue.url)
        client.want([BTC])
        async with running(client):
            await until(client, Subscribed)
            await (await venue.connections.get()).send("x" * (8 * 1024 * 1024 + 1))
            events = await until(client, Subscribed)
        assert of(events, Disconnected)


async def test_http_429_is_a_connection_that_failed() -> None:
    refusals = asyncio.Semaphore(0)

    def refuse(connection, request):
        refusals.release()
        return connection.respond(429, "too many connections\n")

    async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, process_request=refuse) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        client = client_of(f"ws://127.0.0.1:{port}/ws/api/v2")
        async with running(client):
            (end,) = await until(client, Disconnected)
            assert isinstance(end, Disconnected)
            assert "429" in end.detail
            await asyncio.wait_for(refusals.acquire(), PATIENCE_S)
            with pytest.raises(TimeoutError):  # it stays away for 10 s
                await asyncio.wait_for(refusals.acquire(), 0.3)


async def test_ticks_come_from_a_live_session() -> None:
    async with ScriptedVenue(usual_answer) as venue:
        client = client_of(venue.url)
        async with running(client):
            events = await until(client, Tick)
    (tick,) = of(events, Tick)
    assert tick.venue_ms == 10**12
