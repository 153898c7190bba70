from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cramjam
import pytest
from websockets.exceptions import ConnectionClosed

from exchange.recording import RecordingError, Sample, metadata, read, scan

if TYPE_CHECKING:
    from conftest import Client, Connect, Start

EXCERPT = Path(__file__).parents[1] / "data" / "coinm-ethusd-excerpt.jsonl.gz"
BOOK = "book.X_USDC-PERPETUAL.raw"
QUOTE = "quote.X_USDC-PERPETUAL"
FAST = float("inf")
MS = 1_000_000
START_MS = 1_600_000_000_000


def book(stamp_ms: int, change_id: int, previous: int | None, bids: str, asks: str = "") -> str:
    """A book message with spaces and number forms that no encoder of ours would write."""
    kind = (
        '"type":"snapshot"' if previous is None else f'"type":"change","prev_change_id":{previous}'
    )
    return (
        f'{{"jsonrpc": "2.0","method":"subscription","params":{{"channel":"{BOOK}","data":'
        f'{{"timestamp":{START_MS + stamp_ms},{kind},"change_id":{change_id},'
        f'"instrument_name":"X_USDC-PERPETUAL","bids":[{bids}],"asks":[{asks}]}}}}}}'
    )


SNAPSHOT = book(5, 10, None, '["new",1.50,3],["new",1.4e0,20.0]', '["new",1.75, 4E0]')
CHANGE = book(105, 12, 10, '["delete",1.5,0.0],["new",1.45,7.5]')
SECOND = book(205, 13, 12, "", '["change",1.75,5.0]')
QUOTED = (
    f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{QUOTE}","data":'
    f'{{"timestamp":{START_MS + 205},"best_bid_price":1.45}}}}}}'
)
REPLY = '{"jsonrpc":"2.0","id":1,"result":[]}'
FRESH = book(305, 5, None, '["new",1.5,1.0]')


def write(path: Path, *messages: str, step_ms: int = 100) -> Path:
    lines = [f"{(START_MS + n * step_ms) * MS} {text}\n" for n, text in enumerate(messages)]
    data = "".join(lines).encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    if path.suffix == ".zst":
        data = bytes(cramjam.zstd.compress(data))
    path.write_bytes(data)
    return path


async def follow(client: Client, *channels: str) -> None:
    if any(channel.endswith(".raw") for channel in channels):
        await client.login()
    reply = await client.call("public/subscribe", channels=list(channels))
    assert set(reply["result"]) == set(channels)
    client.texts.clear()


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
async def test_with_hold_every_byte_arrives_as_it_was_recorded(
    start: Start, client_of: Connect, tmp_path: Path, suffix: str
) -> None:
    path = write(tmp_path / f"r.jsonl{suffix}", REPLY, SNAPSHOT, CHANGE, QUOTED, SECOND)
    client = await client_of(await start(recording=path, hold="first", speed=FAST))
    await follow(client, BOOK, QUOTE)
    while len(client.texts) < 4:
        await client.receive()
    assert client.texts == [SNAPSHOT, CHANGE, QUOTED, SECOND]


async def test_a_late_subscriber_gets_the_book_so_far_and_then_the_recording(
    start: Start, client_of: Connect, tmp_path: Path
) -> None:
    path = write(tmp_path / "r", SNAPSHOT, CHANGE, REPLY, REPLY, SECOND, step_ms=200)
    exchange = await start(recording=path, hold="first")
    early, late = await client_of(exchange), await client_of(exchange)
    await follow(early, BOOK)
    while CHANGE not in early.texts:
        await early.receive()
    await late.login()
    await late.call("public/subscribe", channels=[BOOK])
    snapshot = await late.next(BOOK)
    assert snapshot == {
        "timestamp": START_MS + 105,
        "type": "snapshot",
        "change_id": 12,
        "instrument_name": "X_USDC-PERPETUAL",
        "bids": [["new", 1.45, 7.5], ["new", 1.4, 20.0]],
        "asks": [["new", 1.75, 4.0]],
    }
    shown = (await late.call("public/get_order_book", instrument_name="X_USDC-PERPETUAL"))["result"]
    assert shown["bids"] == [[1.45, 7.5], [1.4, 20.0]]
    assert shown["change_id"] == 12
    assert (await late.next(BOOK))["change_id"] == 13
    assert late.texts[-1] == SECOND


async def test_the_clock_is_the_last_message_moved_on_at_the_playing_speed(
    start: Start, client_of: Connect, tmp_path: Path
) -> None:
    path = write(tmp_path / "r", SNAPSHOT, CHANGE)
    client = await client_of(await start(recording=path, hold="first", speed=10))
    assert (await client.call("public/get_time"))["result"] == START_MS
    await follow(client, BOOK)
    while CHANGE not in client.texts:
        await client.receive()
    reply = await client.call("public/get_time")
    assert START_MS + 105 <= reply["result"] < START_MS + 105 + 10_000
    again = await client.call("public/get_time")
    assert again["usOut"] > reply["usOut"]


async def test_a_recorded_disconnect_cuts_the_client_after_what_came_before(
    start: Start, client_of: Connect, tmp_path: Path
) -> None:
    path = write(tmp_path / "r", SNAPSHOT, "null", FRESH, SECOND)
    exchange = await start(recording=path, hold="first", speed=FAST)
    first = await client_of(exchange)
    await follow(first, BOOK)
    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(drain(first), 10)
    assert first.texts == [SNAPSHOT]
    second = await client_of(exchange)
    await follow(second, BOOK)  # hold waits again, so nothing was missed
    while len(second.texts) < 2:
        await second.receive()
    assert second.texts == [FRESH, SECOND]


async def drain(client: Client) -> None:
    while True:
        await client.receive()


async def test_hold_all_waits_for_every_channel(
    start: Start, client_of: Connect, tmp_path: Path
) -> None:
    path = write(tmp_path / "r", SNAPSHOT, QUOTED)
    exchange = await start(recording=path, hold="all", speed=FAST)
    client = await client_of(exchange)
    await follow(client, BOOK)
    await client.call("public/test")
    assert not any("subscription" in text for text in client.texts)
    await follow(client, QUOTE)
    while len(client.texts) < 2:
        await client.receive()
    assert client.texts == [SNAPSHOT, QUOTED]


async def test_the_instruments_are_those_of_the_recording(
    start: Start, client_of: Connect, tmp_path: Path
) -> None:
    path = write(tmp_path / "r", SNAPSHOT, CHANGE)
    client = await client_of(await start(recording=path, hold="first"))
    listed = (await client.call("public/get_instruments", currency="any"))["result"]
    assert [item["instrument_name"] for item in listed] == ["X_USDC-PERPETUAL"]
    assert listed[0]["tick_size"] == 0.05
    assert listed[0]["instrument_type"] == "linear"
    assert listed[0]["settlement_period"] == "perpetual"
    assert (listed[0]["state"], listed[0]["simulated"]) == ("open", True)
    reply = await client.call("public/subscribe", channels=["book.BTC-PERPETUAL.100ms", QUOTE])
    assert reply["result"] == []


async def test_the_end_is_told_with_what_was_skipped(
    start: Start, client_of: Connect, tmp_path: Path, capsys: Any
) -> None:
    path = write(tmp_path / "r", REPLY, SNAPSHOT, "[1]", '{"method":"heartbeat"}', CHANGE)
    exchange = await start(recording=path, hold="first", speed=FAST)
    client = await client_of(exchange)
    await follow(client, BOOK)
    while len(client.texts) < 2:
        await client.receive()
    assert "result" in await client.call("public/test")  # the socket is still open
    assert capsys.readouterr().err == (
        "exchange: r is over: 2 notifications played, 3 other lines skipped, 0 disconnects\n"
    )


async def test_a_message_with_a_strange_book_is_played_and_not_applied(
    start: Start, client_of: Connect, tmp_path: Path
) -> None:
    strange = SECOND.replace("1.75", '"1.75"')
    path = write(tmp_path / "r", SNAPSHOT, strange, CHANGE)
    client = await client_of(await start(recording=path, hold="first", speed=FAST))
    await follow(client, BOOK)
    while len(client.texts) < 3:
        await client.receive()
    assert client.texts == [SNAPSHOT, strange, CHANGE]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1 null\nnot a line\n", ":2: not `recv_ns SPACE message`"),
        (b"12 {\n", ":1: the message is not JSON"),
        (b"12.5 {}\n", ":1: not `recv_ns SPACE message`"),
        (b"12 \n", ":1: not `recv_ns SPACE message`"),
        (b"", "holds no notification"),
        (b"1 {}\n", "holds no notification"),
    ],
)
def test_a_malformed_recording_is_refused_with_its_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"r\.jsonl.*") as caught:
        scan(path)
    assert message in str(caught.value)


def test_damaged_compression_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "r.gz", *[SNAPSHOT] * 50).read_bytes()
    for name, data in (("cut.gz", whole[:-20]), ("not.gz", b"1 {}\n"), ("not.zst", b"1 {}\n")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(RecordingError, match="damaged after line"):
            list(read(tmp_path / name))
    with pytest.raises(RecordingError, match="No such file"):
        list(read(tmp_path / "absent"))


async def test_the_real_excerpt_arrives_byte_exact(start: Start, client_of: Connect) -> None:
    if not EXCERPT.exists():
        pytest.skip(f"{EXCERPT.name} is not in tests/data")
    recorded = [line.message.decode() for line in read(EXCERPT)]
    channels = scan(EXCERPT).channels
    client = await client_of(await start(recording=EXCERPT, hold="first", speed=FAST))
    await follow(client, *channels)
    async with asyncio.timeout(30):
        while len(client.texts) < len(recorded):
            text = await client.socket.recv()
            client.texts.append(str(text))
    assert client.texts == recorded


async def test_the_truth_of_a_model_plays_as_a_recording(
    start: Start, client_of: Connect, tmp_path: Path
) -> None:
    truth = tmp_path / "truth"
    model = await start(instruments=1, rate=8, truth=truth)
    live = await client_of(model)
    await follow(live, "book.BTC-PERPETUAL.100ms")
    while len(live.texts) < 6:
        await live.receive()
    await model.__aexit__(None, None, None)
    replay = await client_of(await start(recording=truth, hold="first", speed=FAST))
    await follow(replay, "book.BTC-PERPETUAL.100ms")
    while live.texts[-1] not in replay.texts:
        await replay.receive()
    # The first of each is a snapshot, of the moment of subscription and of the start.
    assert replay.texts[-5:] == live.texts[-5:]
    assert json.loads(replay.texts[0])["params"]["data"]["type"] == "snapshot"


@pytest.mark.parametrize(
    ("name", "kind", "market", "quote", "settled"),
    [
        ("ETH-25DEC26", "future", "reversed", "USD", "ETH"),
        ("SOL_USDC-25DEC26", "future", "linear", "USDC", "USDC"),
        ("ETH-25DEC26-2800-P", "option", "reversed", "ETH", "ETH"),
        ("XRP_USDC-25DEC26-0d5-C", "option", "linear", "USDC", "USDC"),
        ("ETH-FS-25DEC26_PERP", "future_combo", "reversed", "USD", "ETH"),
        ("ETH-CS-25DEC26-2800_3000", "option_combo", "reversed", "USD", "ETH"),
        ("ETH_BTC", "spot", "linear", "BTC", "BTC"),
    ],
)
def test_what_is_listed_of_a_recording_is_of_the_kind_that_its_name_says(
    name: str, kind: str, market: str, quote: str, settled: str
) -> None:
    fields = metadata(name, Sample(), 0)
    found = ("kind", "instrument_type", "quote_currency", "settlement_currency")
    assert tuple(fields[each] for each in found) == (kind, market, quote, settled)
    assert ("future_type" in fields) == (kind == "future")


def test_metadata_of_a_known_instrument_takes_the_tick_from_the_data(tmp_path: Path) -> None:
    text = SNAPSHOT.replace("X_USDC-", "ETH-").replace("1.75", "2682.17")
    sample = scan(write(tmp_path / "r", text)).instruments["ETH-PERPETUAL"]
    fields = metadata("ETH-PERPETUAL", sample, 0)
    assert fields["tick_size"] == 0.01
    assert fields["instrument_type"] == "reversed"
