"""Faults on command: by control methods, by a scenario file, and what they do on the wire."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from exchange.__main__ import main
from exchange.control import CONTROL_METHODS
from exchange.corpus import MALFORMED, huge_message
from exchange.errors import MESSAGES, RpcError
from exchange.faults import FAULTS
from exchange.scenario import read_scenario
from exchange.transit_faults import TransitFaults
from tests.exchange.conftest import PATIENCE_S, Client, Connect, Start

BTC, ETH = "BTC-PERPETUAL", "ETH-PERPETUAL"
BOOK = f"book.{BTC}.100ms"
ROOT = Path(__file__).parents[2]


async def follow(client: Client, *channels: str) -> None:
    assert set((await client.call("public/subscribe", channels=list(channels)))["result"]) == {
        *channels
    }


async def ids(client: Client, count: int) -> list[tuple[int | None, int]]:
    """(prev_change_id, change_id) of the next messages of a book."""
    found = [await client.next(BOOK) for _ in range(count)]
    return [(data.get("prev_change_id"), data["change_id"]) for data in found]


async def closed(client: Client) -> ConnectionClosed:
    try:
        while True:
            await client.receive()
    except ConnectionClosed as error:
        return error


# Notifications


def test_marks_are_used_up_one_by_one_in_their_order() -> None:
    tamper = TransitFaults()
    tamper.mark("a", "drop")
    tamper.mark("a", "twice", 2)
    tamper.mark("a", "swap")
    sent = [tamper.pass_on("a", b"%d" % n) for n in range(6)]
    assert sent == [(), (b"1", b"1"), (b"2", b"2"), (), (b"4", b"3"), (b"5",)]
    assert tamper.is_idle
    assert tamper.pass_on("b", b"x") == (b"x",)


def test_what_is_held_comes_in_order_and_calm_gives_all_of_it_back() -> None:
    tamper = TransitFaults()
    tamper.hold("a")
    assert [tamper.pass_on("a", text) for text in (b"1", b"2")] == [(), ()]
    assert tamper.release("a") == [b"1", b"2"]
    tamper.hold("a")
    tamper.pass_on("a", b"3")
    tamper.mute(True)
    assert tamper.pass_on("b", b"4") == ()
    assert tamper.calm() == {"a": [b"3"]}
    assert tamper.is_idle


async def test_reorder_swaps_two_and_gap_breaks_all_intervals(client: Client) -> None:
    await follow(client, BOOK)
    await client.call("simulator/reorder", channel=BOOK)
    first = await ids(client, 4)
    numbers = [change_id for _, change_id in first]
    assert sorted(numbers) != numbers
    last = max(numbers)
    await client.call("simulator/gap", instrument_name=BTC)
    while (pair := (await ids(client, 1))[0])[0] == last:
        last = pair[1]
    assert pair[0] is not None
    assert pair[0] > last


async def test_delay_holds_a_channel_and_loses_nothing(client: Client) -> None:
    await follow(client, BOOK)
    (_, last), *_ = await ids(client, 1)
    began = time.monotonic()
    await client.call("simulator/delay", channel=BOOK, seconds=0.4)
    texts = len(client.texts)
    pairs = await ids(client, 3)
    assert time.monotonic() - began >= 0.4
    for previous, change_id in pairs:
        if previous != last:  # what came while the call was answered is among the texts
            assert any(f'"change_id":{previous},' in text for text in client.texts[:texts])
        last = change_id


async def test_muted_there_are_heartbeats_and_no_data(start: Start, client_of: Connect) -> None:
    exchange = await start(instruments=1, rate=8, control=True, heartbeat_scale=0.01)
    client = await client_of(exchange)
    await follow(client, BOOK)
    await client.call("simulator/mute")
    await client.call("public/set_heartbeat", interval=10)
    kinds = []
    while kinds.count("test_request") < 3:
        message = await client.receive()
        kinds.append(message.get("params", {}).get("type") or message["method"])
        if kinds[-1] == "test_request":
            await client.call("public/test")
    assert "subscription" not in kinds[1:]
    await client.call("simulator/calm")
    await client.next(BOOK)


async def test_ids_restart_lower_with_a_snapshot_of_the_same_book(client: Client) -> None:
    await follow(client, BOOK)
    before = await client.next(BOOK)
    await client.call("simulator/restart_ids")
    first, second = await all_told(client, BOOK, lambda data: data["type"] == "snapshot", 2)
    assert second["change_id"] < before["change_id"] == first["change_id"]
    assert len(second["bids"]) > 100
    after = await all_told(client, BOOK, lambda data: data["change_id"] > second["change_id"], 3)
    assert second["change_id"] in [data.get("prev_change_id") for data in after]


async def test_malformed_and_huge_messages_go_to_everybody(
    start: Start, client_of: Connect
) -> None:
    exchange = await start(instruments=1, rate=8, max_unsent_bytes=1 << 20)
    client = await client_of(exchange)
    await client.call("public/test")
    assert exchange.fault("malformed") == len(MALFORMED)
    async with asyncio.timeout(PATIENCE_S):
        got = [await client.socket.recv(decode=False) for _ in MALFORMED]
    assert got == [one.content for one in MALFORMED.values()]
    exchange.fault("huge", mib=4)  # more than a slow reader may have waiting, and yet no cut
    message = await client.socket.recv(decode=False)
    assert message == huge_message(BOOK, 4 << 20)
    assert json.loads(message)["params"]["channel"] == BOOK
    assert "result" in await client.call("public/test")


# Connections


@pytest.mark.parametrize(("how", "code"), [("cut", None), ("reset", None), ("close", 1001)])
async def test_connections_end_in_three_ways(client: Client, how: str, code: int | None) -> None:
    await client.socket.send(
        json.dumps({"id": 1, "method": "simulator/disconnect", "params": {"how": how}})
    )
    received = (await closed(client)).rcvd
    assert (received.code if received else None) == code


async def test_a_half_open_connection_is_open_and_dead(start: Start, client_of: Connect) -> None:
    exchange = await start(instruments=1, rate=8)
    dead = await client_of(exchange)
    await follow(dead, BOOK)
    assert exchange.fault("half_open") == 1
    alive = await client_of(exchange)
    await follow(alive, BOOK)
    await alive.next(BOOK)
    await dead.socket.send('{"id":99,"method":"public/test"}')
    for _ in range(3):
        await alive.next(BOOK)
    assert "result" in await alive.call("public/test")
    assert [call.connection for call in exchange.protocol.calls].count(1) == 1
    dead.socket.transport.abort()


async def test_who_does_not_read_is_told_that_it_is_too_slow(
    start: Start, client_of: Connect
) -> None:
    exchange = await start(instruments=1, rate=8)
    client = await client_of(exchange)
    await client.call("public/test")
    assert exchange.fault("too_slow") == 1
    received = (await closed(client)).rcvd
    assert received is not None
    assert received.reason == "connection_too_slow"


async def test_handshakes_are_refused_as_ordered_and_beyond_the_limit(start: Start) -> None:
    exchange = await start(instruments=1, rate=8, max_connections=1)
    exchange.fault("refuse_connections", status=503, count=2)
    for expected in (503, 503, 101, 429):
        if expected == 101:
            first = await connect(exchange.url)
            continue
        with pytest.raises(InvalidStatus) as caught:
            await connect(exchange.url)
        assert caught.value.response.status_code == expected
    assert [handshake.status for handshake in exchange.handshakes] == [503, 503, 101, 429]
    await first.close()


# Calls


async def test_every_error_code_comes_on_command_and_once(client: Client) -> None:
    for code in sorted(MESSAGES, key=lambda code: code == 10028):  # this one ends the session
        await client.call("simulator/error", code=code, method="public/get_time")
        assert "result" in await client.call("public/test")
        reply = await client.call("public/get_time")
        assert reply["error"] == {"code": code, "message": MESSAGES[code]}
        if code != 10028:
            assert "result" in await client.call("public/get_time")
    assert (await closed(client)).rcvd is None


async def test_a_call_without_an_answer_has_no_effect_either(client: Client) -> None:
    await client.call("simulator/no_answer", method="public/subscribe")
    await client.socket.send(
        json.dumps({"id": "lost", "method": "public/subscribe", "params": {"channels": [BOOK]}})
    )
    assert (await client.call("public/unsubscribe", channels=[BOOK]))["result"] == []
    assert not [text for text in client.texts if '"lost"' in text]


async def test_calls_cost_credits_and_who_has_none_is_cut(client: Client) -> None:
    replies = [await client.call("public/subscribe", channels=[f"quote.{BTC}"]) for _ in range(10)]
    assert all("result" in reply for reply in replies)
    while "result" in (reply := await client.call("public/subscribe", channels=[])):
        pass  # the pool fills while they are made: the eleventh may still be paid
    assert reply["error"] == {"code": 10028, "message": "too_many_requests"}
    assert (await closed(client)).rcvd is None


# The venue


async def test_maintenance_is_announced_and_refuses_all_calls(client: Client) -> None:
    await follow(client, "platform_state")
    await client.call("simulator/maintenance")
    await all_told(client, "platform_state", lambda data: data == {"maintenance": True}, 1)
    assert (await client.call("public/status"))["error"]["code"] == 11051
    assert (await client.call("public/subscribe", channels=[BOOK]))["error"]["code"] == 11051
    await client.call("simulator/maintenance", on=False)
    await all_told(client, "platform_state", lambda data: data == {"maintenance": False}, 1)
    assert (await client.call("public/status"))["result"]["locked"] == "false"


async def test_an_instrument_is_listed_traded_and_delisted(client: Client) -> None:
    states = "instrument.state.any.any"
    await follow(client, states)
    name = (await client.call("simulator/list"))["result"]
    async with asyncio.timeout(PATIENCE_S):
        told = await all_told(client, states, lambda data: True, 3)
    assert [(data["instrument_name"], data["state"]) for data in told] == [
        (name, "created"),
        (name, "started"),
        (name, "open"),
    ]
    listed = (await client.call("public/get_instruments", currency="any"))["result"]
    assert name in [each["instrument_name"] for each in listed]
    channel = f"book.{name}.100ms"
    await follow(client, channel)
    assert (await client.next(channel))["type"] == "snapshot"
    assert (await client.next(channel))["type"] == "change"
    await client.call("simulator/delist", instrument_name=name)
    told = (await all_told(client, states, lambda data: True, 5))[3:]
    assert [data["state"] for data in told] == ["closed", "archivized"]
    listed = (await client.call("public/get_instruments", currency="any"))["result"]
    assert name not in [each["instrument_name"] for each in listed]
    expired = (await client.call("public/get_instruments", currency="any", expired=True))["result"]
    assert [each["instrument_name"] for each in expired] == [name]
    assert (await client.call("public/get_order_book", instrument_name=name))["error"][
        "code"
    ] == 13020
    assert (await client.call("public/subscribe", channels=[channel]))["result"] == []


async def all_told(
    client: Client, channel: str, wanted: Callable[[Any], bool], count: int
) -> list[Any]:
    """The first so many data of a channel that are wanted, from what has come or will."""
    while True:
        found = [
            message["params"]["data"]
            for message in map(json.loads, client.texts)
            if message.get("params", {}).get("channel") == channel
            and wanted(message["params"]["data"])
        ]
        if len(found) >= count:
            return found[:count]
        await client.receive()


# Commands and files


@pytest.mark.parametrize(
    ("method", "params", "reason"),
    [
        ("drop", {}, "channel"),
        ("drop", {"channel": BOOK, "count": 0}, "at least 1"),
        ("drop", {"channel": BOOK, "cuont": 1}, "cuont"),
        ("error", {"code": 7}, "one of"),
        ("delay", {"channel": BOOK, "seconds": -1}, "0 or more"),
        ("refuse_connections", {"status": 200}, "between 400 and 599"),
        ("huge", {"mib": 10_000}, "at most 256"),
        ("malformed", {"name": "nothing"}, "one of"),
        ("disconnect", {"how": "softly"}, "cut, reset, close"),
    ],
)
async def test_wrong_parameters_are_named(
    client: Client, method: str, params: dict[str, Any], reason: str
) -> None:
    error = (await client.call(f"simulator/{method}", **params))["error"]
    assert error["code"] == -32602
    assert reason in json.dumps(error["data"])


async def test_an_unknown_instrument_is_not_found(client: Client) -> None:
    for method in ("gap", "delist", "set_state"):
        params = {"instrument_name": "NOBODY", **({"state": "open"} if "set" in method else {})}
        assert (await client.call(f"simulator/{method}", **params))["error"]["code"] == 13020


async def test_a_recording_refuses_what_it_cannot_do(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "recording"
    data = '{"timestamp":1,"change_id":1,"bids":[],"asks":[]}'
    params = f'{{"channel":"{BOOK}","data":{data}}}'
    path.write_text(f'1 {{"method":"subscription","params":{params}}}\n')
    exchange = await start(recording=path)
    for name in ("list", "restart_ids"):
        with pytest.raises(RpcError, match="11050"):
            exchange.fault(name)


async def test_a_scenario_makes_its_faults_in_time(
    tmp_path: Path, start: Start, client_of: Connect, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(
        '[[fault]]\nat_s = 0.3\nfault = "refuse_connections"\nparams = {status = 503, count = 0}\n'
        '[[fault]]\nat_s = 0.2\nfault = "too_slow"\n'
        '[[fault]]\nat_s = 0.1\nfault = "delist"\nparams = {instrument_name = "NOBODY"}\n'
    )
    exchange = await start(instruments=1, rate=8, scenario=path)
    client = await client_of(exchange)
    assert "too_slow" in str(await closed(client))
    async with asyncio.timeout(PATIENCE_S):
        while not exchange.call_faults.handshakes:
            await asyncio.sleep(0.01)
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[3] for line in said] == ["delist:", "too_slow:", "refuse_connections:"]
    assert "impossible: 13020" in said[0]


def test_the_example_scenario_is_right() -> None:
    steps = read_scenario(ROOT / "exchange/scenarios/bad_morning.toml")
    assert len(steps) == 12
    assert steps == sorted(steps, key=lambda step: step.at_s)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[fault]]\nat_s = 1\n", "fault is None"),
        ('[[fault]]\nat_s = 1\nfault = "nothing"\n', "fault is 'nothing'"),
        ('[[fault]]\nat_s = -1\nfault = "calm"\n', "at_s must be"),
        ('[[fault]]\nat_s = 1\nfault = "drop"\n', "channel"),
        ('[[fault]]\nat_s = 1\nfault = "calm"\nparams = 7\n', "params must be a table"),
        ('[[fault]]\nat_s = 1\nfault = "calm"\nwhat = 7\n', "what"),
        ("faults = 7\n", "only [[fault]]"),
        ("fault = [7]\n", "write it as [[fault]]"),
        ("[[fault\n", "not TOML"),
    ],
)
def test_a_wrong_scenario_is_refused_before_the_venue_opens(
    tmp_path: Path, capsys: Any, text: str, reason: str
) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    assert main(["--scenario", str(path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert reason in error


def test_every_fault_has_its_row_in_the_readme_and_its_method() -> None:
    readme = (ROOT / "exchange/README.md").read_text()
    for name in FAULTS:
        assert f"| `{name}`" in readme or name == "skip"
        assert f"simulator/{name}" in CONTROL_METHODS
