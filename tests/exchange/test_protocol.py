"""Each quirk of the protocol, seen by a plain websocket client."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed

from exchange import Config, Exchange

if TYPE_CHECKING:
    from conftest import Client, Connect, Start

PATIENCE_S = 20.0
BTC = "BTC-PERPETUAL"
SLOW_BOOK = f"book.{BTC}.100ms"
RAW_BOOK = f"book.{BTC}.raw"


def apply(book: dict[str, dict[float, float]], data: dict[str, Any]) -> None:
    for side in ("bids", "asks"):
        for action, price, amount in data[side]:
            if action == "delete":
                del book[side][price]
            else:
                book[side][price] = amount


async def ended(client: Client) -> ConnectionClosed:
    """How the connection ended; what still arrives before is read."""
    while True:
        try:
            await client.receive()
        except ConnectionClosed as error:
            return error


async def test_hello_and_test_mark_the_venue_as_simulated(client: Client) -> None:
    reply = await client.call("public/hello", client_name="a", client_version="1")
    assert reply["result"] == {"version": "1.2.26-simulated"}
    assert (await client.call("public/test"))["result"] == {"version": "1.2.26-simulated"}
    reply = await client.call("public/test", expected_result="exception")
    assert "result" not in reply
    assert reply["error"]["code"] == -32602


async def test_every_reply_carries_the_venue_clock(client: Client) -> None:
    replies = [await client.call("public/get_time") for _ in range(3)]
    for reply in replies:
        assert reply["usOut"] == reply["usIn"] + reply["usDiff"]
        assert reply["testnet"] is False
        assert abs(reply["result"] - reply["usOut"] / 1_000) < 1_000
        assert abs(reply["usOut"] / 1e6 - time.time()) < 2
    assert (await client.call("public/status"))["result"] == {
        "locked": "false",
        "locked_indices": [],
    }


@pytest.mark.parametrize("request_id", ["abc", 0, -7, 12345678901234567890, 'é"\\'])
async def test_the_id_comes_back_as_it_was(client: Client, request_id: object) -> None:
    reply = await client.send(json.dumps({"id": request_id, "method": "public/test"}))
    assert reply["id"] == request_id
    assert type(reply["id"]) is type(request_id)


async def test_a_request_without_id_is_answered_without_id(client: Client) -> None:
    reply = await client.send('{"method":"public/get_time"}')
    assert "id" not in reply
    assert reply["result"] > 0


@pytest.mark.parametrize("text", ["{", "", "nonsense", b"\xff\xfe", '{"id":NaN}', "[" * 30_000])
async def test_what_is_not_json_is_11050_and_the_socket_stays_open(
    client: Client, text: str | bytes
) -> None:
    reply = await client.send(text)
    assert reply["error"] == {"code": 11050, "data": "invalid json", "message": "bad_request"}
    assert "id" not in reply
    assert "result" in await client.call("public/test")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[]", -32600),
        ('{"id":1}', -32600),
        ('{"id":1,"method":"public/test","params":[1]}', -32600),
        ('{"id":1,"method":"public/no_such"}', -32601),
        ('{"id":1,"method":"public/get_order_book"}', -32602),
        ('{"id":1,"method":"public/get_instruments","params":{"currency":"XYZ"}}', -32602),
        ('{"id":1,"method":"public/subscribe","params":{"channels":"a"}}', -32602),
        ('{"id":1,"method":"public/set_heartbeat","params":{"interval":"10"}}', -32602),
        ('{"id":1,"method":"private/subscribe","params":{"channels":[]}}', 10000),
        (
            '{"id":1,"method":"private/subscribe","params":{"channels":[],"access_token":"x"}}',
            13009,
        ),
        (
            '{"id":1,"method":"public/get_order_book","params":'
            '{"instrument_name":"BTC-PERPETUAL","depth":3}}',
            -32602,
        ),
        ('{"id":1,"method":"public/get_order_book","params":{"instrument_name":"X"}}', 13020),
    ],
)
async def test_wrong_requests_have_their_codes(client: Client, text: str, code: int) -> None:
    assert (await client.send(text))["error"]["code"] == code


async def test_a_request_above_32_kb_is_refused(client: Client) -> None:
    reply = await client.call("public/subscribe", channels=["x" * 32_768])
    assert reply["error"] == {"code": -32600, "message": "request entity too large"}


async def test_more_than_500_channels_are_refused(client: Client) -> None:
    channels = [f"book.T{number}.raw" for number in range(501)]
    reply = await client.call("public/subscribe", channels=channels)
    assert reply["error"]["code"] == -32602
    assert reply["error"]["data"]["param"] == "channels"


async def test_instruments_carry_full_metadata(client: Client) -> None:
    listed = (await client.call("public/get_instruments", currency="any", kind="future"))["result"]
    by_name = {item["instrument_name"]: item for item in listed}
    assert set(by_name) == {BTC, "ETH-PERPETUAL", "BTC_USDC-PERPETUAL"}
    inverse, linear = by_name[BTC], by_name["BTC_USDC-PERPETUAL"]
    assert inverse["instrument_type"] == inverse["future_type"] == "reversed"
    assert linear["instrument_type"] == linear["future_type"] == "linear"
    assert (inverse["contract_size"], inverse["tick_size"]) == (10.0, 0.5)
    assert linear["contract_size"] == 0.0001
    assert linear["settlement_currency"] == linear["quote_currency"] == "USDC"
    for item in listed:
        assert item["settlement_period"] == "perpetual"
        assert item["expiration_timestamp"] == 32503708800000
        assert item["simulated"] is True
        assert item["is_active"] is True
    usdc = (await client.call("public/get_instruments", currency="USDC"))["result"]
    assert [item["instrument_name"] for item in usdc] == ["BTC_USDC-PERPETUAL"]
    for nothing in ({"currency": "BTC", "kind": "option"}, {"currency": "BTC", "expired": True}):
        assert (await client.call("public/get_instruments", **nothing))["result"] == []


async def test_the_ack_lacks_unknown_channels_and_has_another_order(client: Client) -> None:
    known = [SLOW_BOOK, f"trades.{BTC}.100ms", f"quote.{BTC}", f"book.{BTC}.none.10.100ms"]
    unknown = [
        "book.NO-SUCH.100ms",
        f"book.{BTC}.1s",
        f"book.{BTC}.none.10.raw",
        f"book.{BTC}.3.10.100ms",
        f"book.{BTC}.none.7.100ms",
        "",
        "nonsense",
    ]
    reply = await client.call("public/subscribe", channels=[*unknown, *known])
    assert set(reply["result"]) == set(known)
    assert reply["result"] != known
    assert (await client.call("public/subscribe", channels=unknown))["result"] == []


async def test_raw_is_given_without_a_login_where_the_exchange_is_told_so(
    start: Start, client_of: Connect
) -> None:
    client = await client_of(await start(instruments=1, rate=8, open_raw=True))
    assert (await client.call("public/subscribe", channels=[RAW_BOOK]))["result"] == [RAW_BOOK]


async def test_raw_without_login_refuses_the_whole_call(client: Client) -> None:
    reply = await client.call("public/subscribe", channels=[SLOW_BOOK, RAW_BOOK])
    assert reply["error"]["code"] == 13778
    assert (await client.call("public/unsubscribe", channels=[SLOW_BOOK]))["result"] == []
    await client.login()
    for method in ("public/subscribe", "private/subscribe"):
        reply = await client.call(method, channels=[SLOW_BOOK, RAW_BOOK])
        assert set(reply["result"]) == {SLOW_BOOK, RAW_BOOK}


async def test_a_repeated_subscription_brings_no_second_snapshot(client: Client) -> None:
    await client.call("public/subscribe", channels=[SLOW_BOOK])
    assert (await client.next(SLOW_BOOK))["type"] == "snapshot"
    reply = await client.call("public/subscribe", channels=[SLOW_BOOK])
    assert reply["result"] == [SLOW_BOOK]
    kinds = [(await client.next(SLOW_BOOK))["type"] for _ in range(5)]
    assert kinds == ["change"] * 5
    reply = await client.call("public/unsubscribe", channels=[SLOW_BOOK, f"quote.{BTC}"])
    assert reply["result"] == [SLOW_BOOK]
    await client.call("public/subscribe", channels=[SLOW_BOOK])
    assert (await client.next(SLOW_BOOK))["type"] == "snapshot"
    assert (await client.call("public/unsubscribe_all"))["result"] == "ok"
    assert (await client.call("public/unsubscribe", channels=[SLOW_BOOK]))["result"] == []


async def test_every_interval_rebuilds_the_book_that_get_order_book_shows(client: Client) -> None:
    channels = [f"book.{BTC}.{interval}" for interval in ("raw", "100ms", "agg2")]
    await client.login()
    await client.call("public/subscribe", channels=channels)
    books: dict[str, Any] = {channel: {"bids": {}, "asks": {}} for channel in channels}
    ids: dict[str, int] = {}
    read = 0
    equal = dict.fromkeys(channels, 0)
    orders: dict[int, Any] = {}
    async with asyncio.timeout(PATIENCE_S):
        while min(equal.values()) < 1:
            reply = await client.call("public/get_order_book", instrument_name=BTC, depth=10_000)
            orders[reply["result"]["change_id"]] = reply["result"]
            fresh, read = client.texts[read:], len(client.texts)
            for text in fresh:
                message = json.loads(text)
                if message.get("method") != "subscription":
                    continue
                channel, data = message["params"]["channel"], message["params"]["data"]
                assert data["instrument_name"] == BTC
                assert data["type"] == ("change" if channel in ids else "snapshot")
                if channel in ids:
                    assert data["prev_change_id"] == ids[channel]
                ids[channel] = data["change_id"]
                apply(books[channel], data)
                if data["change_id"] in orders:
                    shown = orders[data["change_id"]]
                    assert books[channel]["bids"] == dict(shown["bids"])
                    assert books[channel]["asks"] == dict(shown["asks"])
                    equal[channel] += 1


async def test_a_late_subscriber_joins_the_chain_that_others_follow(
    start: Start, client_of: Connect
) -> None:
    exchange = await start(instruments=1, rate=8, speed=4)
    early, late = await client_of(exchange), await client_of(exchange)
    await early.call("public/subscribe", channels=[SLOW_BOOK])
    for _ in range(5):
        await early.next(SLOW_BOOK)
    await late.call("public/subscribe", channels=[SLOW_BOOK])
    snapshot = await late.next(SLOW_BOOK)
    following = [await late.next(SLOW_BOOK) for _ in range(3)]
    assert [item["prev_change_id"] for item in following] == [
        snapshot["change_id"],
        *(item["change_id"] for item in following[:-1]),
    ]
    while (await early.next(SLOW_BOOK))["change_id"] < following[-1]["change_id"]:
        pass
    assert late.texts[-1] in early.texts


async def test_channels_of_state_and_trades_have_their_shapes(fast_client: Client) -> None:
    names = {
        "grouped": f"book.{BTC}.10.10.100ms",
        "ticker": f"ticker.{BTC}.100ms",
        "quote": f"quote.{BTC}",
        "perpetual": f"perpetual.{BTC}.100ms",
        "trades": f"trades.{BTC}.100ms",
        "all trades": "trades.future.any.100ms",
        "platform": "platform_state",
    }
    await fast_client.call("public/subscribe", channels=list(names.values()))
    waiting = set(names.values())
    seen: dict[str, Any] = {}
    async with asyncio.timeout(PATIENCE_S):
        while waiting:
            message = await fast_client.receive()
            seen[message["params"]["channel"]] = message["params"]["data"]
            waiting.discard(message["params"]["channel"])
    grouped = seen[names["grouped"]]
    assert set(grouped) == {"timestamp", "change_id", "instrument_name", "bids", "asks"}
    assert len(grouped["bids"]) == len(grouped["asks"]) == 10
    assert all(price % 10 == 0 for price, _ in grouped["bids"] + grouped["asks"])
    ticker = seen[names["ticker"]]
    assert ticker["best_bid_price"] < ticker["best_ask_price"]
    assert {"mark_price", "index_price", "funding_8h", "open_interest", "stats"} <= set(ticker)
    assert set(seen[names["quote"]]) == {
        "timestamp",
        "instrument_name",
        "best_bid_price",
        "best_bid_amount",
        "best_ask_price",
        "best_ask_amount",
    }
    assert set(seen[names["perpetual"]]) == {"timestamp", "interest", "index_price"}
    trade = seen[names["trades"]][0]
    assert trade["contracts"] == trade["amount"] / 10
    assert trade["direction"] in ("buy", "sell")
    assert trade["tick_direction"] in (0, 1, 2, 3)
    assert isinstance(trade["trade_id"], str)
    assert isinstance(seen[names["all trades"]], list)


async def test_trade_numbers_have_no_hole(fast_client: Client) -> None:
    channel = "trades.any.BTC.100ms"
    await fast_client.call("public/subscribe", channels=[channel])
    numbers: list[int] = []
    while len(numbers) < 6:
        numbers += [trade["trade_seq"] for trade in await fast_client.next(channel)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_the_quote_is_the_top_of_the_raw_book(fast_client: Client) -> None:
    await fast_client.login()
    await fast_client.call("public/subscribe", channels=[RAW_BOOK, f"quote.{BTC}"])
    book: dict[str, Any] = {"bids": {}, "asks": {}}
    agreed = 0
    while agreed < 8:
        message = (await fast_client.receive())["params"]
        if message["channel"] == RAW_BOOK:
            apply(book, message["data"])
        elif book["bids"]:
            quote = message["data"]
            bid, ask = max(book["bids"]), min(book["asks"])
            assert (quote["best_bid_price"], quote["best_ask_price"]) == (bid, ask)
            assert quote["best_bid_amount"] == book["bids"][bid]
            assert quote["best_ask_amount"] == book["asks"][ask]
            agreed += 1


def signed(age_s: float = 0.0, secret: str = "demo-secret") -> dict[str, Any]:
    timestamp = int((time.time() - age_s) * 1_000)
    text = f"{timestamp}\nnonce\n".encode()
    return {
        "grant_type": "client_signature",
        "client_id": "demo",
        "timestamp": timestamp,
        "nonce": "nonce",
        "data": "",
        "signature": hmac.new(secret.encode(), text, "sha256").hexdigest(),
    }


async def test_a_fresh_signature_and_a_refresh_token_log_in(client: Client) -> None:
    reply = await client.call("public/auth", **signed(), state="s")
    assert reply["result"]["state"] == "s"
    assert reply["result"]["token_type"] == "bearer"
    assert (await client.call("public/subscribe", channels=[RAW_BOOK]))["result"] == [RAW_BOOK]
    refresh = {"grant_type": "refresh_token", "refresh_token": reply["result"]["refresh_token"]}
    assert "result" in await client.call("public/auth", **refresh)
    assert (await client.call("public/auth", **refresh))["error"]["code"] == 13004


@pytest.mark.parametrize(
    "params",
    [
        {"grant_type": "client_credentials", "client_id": "demo", "client_secret": "wrong"},
        {"grant_type": "client_credentials", "client_id": "other", "client_secret": "demo-secret"},
        {"grant_type": "refresh_token", "refresh_token": "never given"},
        "old signature",
        "wrong secret",
    ],
)
async def test_a_wrong_login_is_13004(client: Client, params: Any) -> None:
    if params == "old signature":
        params = signed(age_s=120)
    elif params == "wrong secret":
        params = signed(secret="wrong")
    reply = await client.call("public/auth", **params)
    assert reply["error"] == {"code": 13004, "message": "invalid_credentials"}
    reply = await client.call("public/subscribe", channels=[RAW_BOOK])
    assert reply["error"]["code"] == 13778


async def test_heartbeats_ask_and_an_answer_keeps_the_connection(
    start: Start, client_of: Connect
) -> None:
    client = await client_of(await start(instruments=1, rate=8, heartbeat_scale=0.01))
    reply = await client.call("public/set_heartbeat", interval=9)
    assert reply["error"]["data"] == {"param": "interval", "reason": "value must be >= 10"}
    await client.call("public/set_heartbeat", interval=10)
    kinds = []
    while kinds.count("test_request") < 4:
        message = await client.receive()
        kinds.append(message["params"]["type"])
        if kinds[-1] == "test_request":
            assert "result" in await client.call("public/test")
    assert kinds.count("heartbeat") == 4  # the socket was quiet
    await client.call("public/disable_heartbeat")


async def test_a_busy_socket_gets_no_plain_heartbeat_and_silence_closes_it_with_4000(
    start: Start, client_of: Connect
) -> None:
    client = await client_of(await start(instruments=1, rate=8, heartbeat_scale=0.05))
    await client.call("public/subscribe", channels=[SLOW_BOOK])
    await client.call("public/set_heartbeat", interval=10)
    error = await ended(client)
    assert error.rcvd is not None
    assert (error.rcvd.code, error.rcvd.reason) == (4000, "heartbeat close")
    beats = [text for text in client.texts if '"heartbeat"' in text]
    assert beats == ['{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}']


async def test_a_connection_that_does_nothing_is_cut_and_a_follower_is_not(
    start: Start, client_of: Connect
) -> None:
    exchange = await start(instruments=1, rate=8, heartbeat_scale=0.005)
    idle, follower = await client_of(exchange), await client_of(exchange)
    await follower.call("public/subscribe", channels=["instrument.state.any.any"])
    assert (await ended(idle)).rcvd is None  # no closing handshake: 1006
    assert "result" in await follower.call("public/test")


async def test_marks_of_the_simulator_skip_repeat_and_inject(client: Client) -> None:
    await client.call("public/subscribe", channels=[SLOW_BOOK])
    last = (await client.next(SLOW_BOOK))["change_id"]
    await client.call("simulator/skip", channel=SLOW_BOOK)
    while (data := await client.next(SLOW_BOOK))["prev_change_id"] == last:
        last = data["change_id"]
    assert data["prev_change_id"] > last
    await client.call("simulator/duplicate", channel=SLOW_BOOK)
    previous = ""
    while client.texts[-1] != previous:
        previous = client.texts[-1]
        await client.next(SLOW_BOOK)
    odd = '{ "method":"subscription", "params":{}, "odd":1e999 }'
    reply = await client.call("simulator/inject", channel=SLOW_BOOK, text=odd)
    assert reply["result"] == 1
    reply = await client.call("simulator/inject", channel=None, text=odd)
    assert reply["result"] == 1
    reply = await client.call("simulator/inject", channel="book.none", text=odd)
    assert reply["result"] == 0
    assert client.texts.count(odd) == 2


async def test_a_halted_instrument_is_announced_and_a_closed_one_has_no_book(
    client: Client,
) -> None:
    channel = "instrument.state.future.BTC"
    await client.call("public/subscribe", channels=[channel])
    for state in ("halted", "closed"):
        await client.call("simulator/set_state", instrument_name=BTC, state=state)
    notes = [json.loads(text)["params"] for text in client.texts if f'"{channel}","data' in text]
    told = [note["data"]["state"] for note in notes]
    assert told == ["halted", "closed"]
    reply = await client.call("public/get_order_book", instrument_name=BTC)
    assert reply["error"]["code"] == 13019


async def test_disconnect_all_cuts_everybody(start: Start, client_of: Connect) -> None:
    exchange = await start(instruments=1, rate=8, control=True)
    clients = [await client_of(exchange) for _ in range(3)]
    for client in clients:
        await client.call("public/test")
    assert (await clients[0].call("simulator/disconnect_all"))["result"] == 3
    for client in clients:
        assert (await ended(client)).rcvd is None
    again = await client_of(exchange)
    await again.call("public/test")
    exchange.drop_connections()
    assert (await ended(again)).rcvd is None


async def test_without_control_there_is_no_simulator_method(
    start: Start, client_of: Connect
) -> None:
    client = await client_of(await start(instruments=1, rate=8))
    assert (await client.call("simulator/disconnect_all"))["error"]["code"] == -32601


async def test_a_reader_that_falls_far_behind_is_cut_and_others_are_not(
    start: Start, client_of: Connect
) -> None:
    exchange = await start(instruments=1, rate=8, max_unsent_bytes=1 << 20)
    slow, other = await client_of(exchange), await client_of(exchange)
    await clog(exchange, slow)
    async with asyncio.timeout(PATIENCE_S):
        while len(exchange.hub.connections) > 1:
            await asyncio.sleep(0.02)
    assert "result" in await other.call("public/test")
    slow.socket.transport.abort()


async def test_a_reader_that_does_not_read_delays_the_end_by_less_than_two_seconds(
    client_of: Connect,
) -> None:
    async with Exchange(Config(instruments=1, rate=8)) as exchange:
        slow = await client_of(exchange)
        await clog(exchange, slow)
        assert len(exchange.hub.connections) == 1
        begin = time.monotonic()
    assert time.monotonic() - begin < 2
    slow.socket.transport.abort()


async def clog(exchange: Exchange, client: Client) -> None:
    """Make a follower that does not read, and fill its socket beyond the kernel's buffers."""
    await client.call("public/subscribe", channels=[SLOW_BOOK])
    client.socket.transport.pause_reading()
    for _ in range(100):
        exchange.hub.inject(SLOW_BOOK, "x" * (1 << 18))
        await asyncio.sleep(0)
