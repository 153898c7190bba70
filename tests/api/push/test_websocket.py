"""/v1/ws: subscriptions by instrument and window length, errors told, limits with a code."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from aiohttp.client_exceptions import WSServerHandshakeError

from app.api.push import websocket
from tests.api.checks import ask_wrongly
from tests.api.push.conftest import BTC, ETH, LOST, MAX_STREAMS, Site
from tests.api.push.reading import PATIENCE_S, names, receive
from tests.api.push.test_stream import change, close_window


@pytest.fixture
async def ws(http: ClientSession, site: Site) -> AsyncIterator[ClientWebSocketResponse]:
    async with http.ws_connect(f"{site.url}/v1/ws") as socket:
        yield socket


async def ask(ws: ClientWebSocketResponse, **command: Any) -> dict[str, Any]:
    """Send a command; return its answer."""
    await ws.send_json({"id": 7, **command})
    answer = await receive(ws, lambda event: event.get("id") == 7)
    return answer


async def test_nothing_comes_before_a_subscription(ws: ClientWebSocketResponse, site: Site) -> None:
    change(site, ETH, 5.0)
    assert (await receive(ws))["type"] == "heartbeat"
    assert (await ask(ws, op="ping"))["type"] == "pong"


async def test_subscribe_and_unsubscribe(ws: ClientWebSocketResponse, site: Site) -> None:
    answer = await ask(ws, op="subscribe", instruments=[ETH], lengths=["1s"])
    assert answer["subscriptions"] == [f"1s.{ETH}", f"states.{ETH}"]
    first = await receive(ws, "states")
    assert (first["whole"], names(first)) == (True, [ETH])
    expected = close_window(site, ETH)
    close_window(site, BTC)
    assert (await receive(ws, "windows"))["windows"] == [expected]

    answer = await ask(ws, op="subscribe", instruments=[BTC], states=True)
    assert answer["subscriptions"] == [f"1s.{ETH}", f"states.{BTC}", f"states.{ETH}"]
    again = await receive(ws, "states")
    assert (again["whole"], names(again)) == (True, [BTC, ETH])

    answer = await ask(ws, op="unsubscribe", instruments=[ETH], lengths=["1s"])
    assert answer["subscriptions"] == [f"states.{BTC}"]
    assert names(await receive(ws, "states")) == [BTC]
    change(site, ETH, 1.0)
    change(site, BTC, 2.0)
    assert names(await receive(ws, "states")) == [BTC]

    assert (await ask(ws, op="unsubscribe"))["subscriptions"] == []
    change(site, BTC, 3.0)
    assert (await receive(ws))["type"] == "heartbeat"


async def test_all_instruments(ws: ClientWebSocketResponse, site: Site) -> None:
    answer = await ask(ws, op="subscribe")
    assert answer["subscriptions"] == ["states.*"]
    assert names(await receive(ws, "states")) == [BTC, ETH, LOST]


async def test_a_length_is_the_same_however_it_is_written(ws: ClientWebSocketResponse) -> None:
    answer = await ask(ws, op="subscribe", lengths=["60s", "1m", "10000ms"], states=False)
    assert answer["subscriptions"] == ["10s.*", "1m.*"]
    answer = await ask(ws, op="unsubscribe", lengths=["60000ms"], states=False)
    assert answer["subscriptions"] == ["10s.*"]


@pytest.mark.parametrize(
    ("command", "kind", "told"),
    [
        ("no json", "bad-command", "not a command"),
        ("[]", "bad-command", "not a command"),
        ('{"op":"subscribe","instrument":"X"}', "bad-command", "instrument"),
        ('{"op":"subscribe","instruments":"ETH-PERPETUAL"}', "bad-command", "instruments"),
        ('{"op":"shout"}', "bad-command", "shout"),
        ('{"op":"subscribe","instruments":["NO-SUCH"]}', "unknown-instrument", "NO-SUCH"),
        ('{"op":"subscribe","instruments":["<script>"]}', "bad-instrument", "no instrument name"),
        ('{"op":"subscribe","instruments":[]}', "bad-parameter", "0 names"),
        ('{"op":"subscribe","lengths":["2s"]}', "bad-parameter", "there are 1s, 10s, 1m"),
        ('{"op":"subscribe","states":false}', "bad-parameter", "neither states nor windows"),
        ('{"op":"unsubscribe","instruments":["ETH-PERPETUAL"]}', "not-subscribed", "states.ETH"),
    ],
)
async def test_a_bad_command_is_told_and_the_connection_goes_on(
    ws: ClientWebSocketResponse, command: str, kind: str, told: str
) -> None:
    await ws.send_str(command)
    answer = await receive(ws, "error")
    assert answer["problem"]["type"] == f"urn:steelyard:problem:{kind}"
    assert told in answer["problem"]["detail"]
    assert (await ask(ws, op="ping"))["type"] == "pong"


async def closed(ws: ClientWebSocketResponse) -> tuple[int | None, str]:
    """Read to the end; return the code, and the reason."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            message = await ws.receive()
            if message.type is WSMsgType.CLOSE:
                return message.data, message.extra
            assert message.type is WSMsgType.TEXT, message


async def test_too_many_commands_close_with_the_reason(
    http: ClientSession, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "COMMANDS_PER_S", 0.001)
    async with http.ws_connect(f"{site.url}/v1/ws", autoclose=False) as ws:
        for _ in range(websocket.COMMANDS_BURST + 1):
            await ws.send_json({"op": "ping"})
        code, reason = await closed(ws)
    assert (code, "commands a second" in reason) == (1008, True)


async def test_binary_and_huge_messages_close_with_a_code(http: ClientSession, site: Site) -> None:
    async with http.ws_connect(f"{site.url}/v1/ws", autoclose=False) as ws:
        await ws.send_bytes(b"\x00")
        assert await closed(ws) == (1003, "send JSON as text")
    async with http.ws_connect(f"{site.url}/v1/ws", autoclose=False) as ws:
        await ws.send_str(json.dumps({"op": "x" * websocket.MAX_MESSAGE_BYTES}))
        assert (await closed(ws))[0] == 1009


async def test_one_more_than_the_limit_is_told_to_come_later(
    http: ClientSession, site: Site
) -> None:
    sockets = [await http.ws_connect(f"{site.url}/v1/ws") for _ in range(MAX_STREAMS)]
    async with http.ws_connect(f"{site.url}/v1/ws", autoclose=False) as ws:
        code, reason = await closed(ws)
    assert code == 1013
    assert str(MAX_STREAMS) in reason
    for socket in sockets:
        await socket.close()


async def test_the_end_is_said(http: ClientSession, site: Site) -> None:
    async with http.ws_connect(f"{site.url}/v1/ws", autoclose=False) as ws:
        await site.hub.close()
        assert (await receive(ws, "end"))["reason"] == "going-away"
        assert (await closed(ws))[0] == 1001


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
async def test_pages_of_other_sites_are_refused(
    http: ClientSession, site: Site, origin: str
) -> None:
    with pytest.raises(WSServerHandshakeError) as refused:
        await http.ws_connect(f"{site.url}/v1/ws", headers={"Origin": origin})
    assert refused.value.status == 403
    async with http.ws_connect(f"{site.url}/v1/ws", headers={"Origin": site.url}) as ws:
        assert (await ask(ws, op="ping"))["type"] == "pong"


async def test_what_is_no_websocket_is_told_so(http: ClientSession, site: Site) -> None:
    problem = await ask_wrongly(http, f"{site.url}/v1/ws", 426)
    assert problem.type == "urn:steelyard:problem:upgrade-required"
