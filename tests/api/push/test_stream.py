"""/v1/stream: a snapshot, then what changes; resumed, conflated, bounded, ended with a reason."""

import asyncio
import json

import pytest
from aiohttp import ClientSession
from yarl import URL

from app.api.push import sse as stream
from app.api.push.conflation import Key
from tests.api.checks import ask_wrongly, check_headers
from tests.api.push.conftest import BTC, ETH, LOST, MAX_STREAMS, Site
from tests.api.push.reading import PATIENCE_S, Events, names


def change(site: Site, name: str, mid: float) -> None:
    """Publish another state of an instrument."""
    state = site.serving.changing[name]
    state.mid = mid
    state.published_ms += 1


def close_window(site: Site, name: str, length: str = "1s", number: int = -1) -> dict:
    """Let a window of the recording close now; return it."""
    length_ms = {"1s": 1_000, "10s": 10_000}[length]
    value = site.serving.closed[name, length_ms, None][number][1]
    site.hub.put_windows([(Key(length, name), value)])
    return json.loads(value)


async def test_a_snapshot_then_what_changes(http: ClientSession, site: Site) -> None:
    async with http.get(f"{site.url}/v1/stream") as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        check_headers(answer)
        events = Events(answer)
        first = await events.next()
        assert (first["type"], first["whole"], names(first)) == ("states", True, [BTC, ETH, LOST])
        change(site, ETH, 123.5)
        second = await events.next("states")
        assert (second["whole"], names(second), second["states"][0]["mid"]) == (False, [ETH], 123.5)


async def test_a_row_is_the_answers_row(http: ClientSession, site: Site) -> None:
    async with http.get(f"{site.url}/v1/stream?instruments={ETH}") as answer:
        (row,) = (await Events(answer).next())["states"]
    async with http.get(f"{site.url}/v1/imbalance/{ETH}") as answer:
        assert row == (await answer.json())["data"]


async def test_only_what_was_asked_for(http: ClientSession, site: Site) -> None:
    url = f"{site.url}/v1/stream?instruments={ETH}&lengths=10s"
    async with http.get(url) as answer:
        events = Events(answer)
        assert names(await events.next()) == [ETH]
        change(site, BTC, 1.5)
        close_window(site, BTC, "10s")
        close_window(site, ETH, "1s")
        expected = close_window(site, ETH, "10s")
        event = await events.next(lambda e: e["type"] != "heartbeat")
        assert (event["type"], event["windows"]) == ("windows", [expected])


async def test_a_row_that_nobody_asks_for_is_not_made(http: ClientSession, site: Site) -> None:
    only_eth = f"{site.url}/v1/stream?instruments={ETH}"
    async with http.get(only_eth) as answer, http.get(only_eth) as same:
        events = Events(answer)
        await events.next("states")
        await Events(same).next("states")
        change(site, BTC, 1.5)
        change(site, ETH, 2.5)
        await events.next("states")
        assert [message.key.instrument for message in site.hub.latest.newer(0)] == [ETH]
        async with http.get(f"{site.url}/v1/stream") as other:
            first = await Events(other).next()
            assert (first["whole"], names(first)) == (True, [BTC, ETH, LOST])
            mids = {row["instrument"]: row["mid"] for row in first["states"]}
            assert (mids[BTC], mids[ETH]) == (1.5, 2.5)
    async with asyncio.timeout(PATIENCE_S):
        while site.hub.clients:
            await asyncio.sleep(0.01)
    change(site, BTC, 3.5)
    async with http.get(f"{site.url}/v1/stream?instruments={BTC}") as answer:
        (row,) = (await Events(answer).next())["states"]
        assert row["mid"] == 3.5


async def test_a_fault_leaves_no_client_behind_and_is_only_of_its_row(
    http: ClientSession, site: Site
) -> None:
    change(site, BTC, float("nan"))
    await ask_wrongly(http, f"{site.url}/v1/stream", 500)
    assert not site.hub.clients
    async with http.get(f"{site.url}/v1/stream?instruments={ETH}") as answer:
        assert names(await Events(answer).next()) == [ETH]


async def test_windows_alone(http: ClientSession, site: Site) -> None:
    async with http.get(f"{site.url}/v1/stream?lengths=1s&states=false") as answer:
        await site.hub.windows_followed.wait()
        expected = close_window(site, LOST)
        event = await Events(answer).next(lambda e: e["type"] != "heartbeat")
        assert event["windows"] == [expected]
    async with asyncio.timeout(PATIENCE_S):
        while site.hub.clients:
            await asyncio.sleep(0.01)
    assert not site.hub.windows_followed.is_set()


async def test_a_status_that_changes_by_itself_is_sent(http: ClientSession, site: Site) -> None:
    async with http.get(f"{site.url}/v1/stream?instruments={ETH}") as answer:
        events = Events(answer)
        assert (await events.next())["states"][0]["status"] == "live"
        site.serving.clock_ms += 60_000
        event = await events.next("states")
        assert event["states"][0]["status"] == "stale"
        assert event["states"][0]["age_ms"] > 60_000


async def test_heartbeats_while_nothing_happens(http: ClientSession, site: Site) -> None:
    async with http.get(f"{site.url}/v1/stream") as answer:
        events = Events(answer)
        await events.next("states")
        for _ in range(2):
            assert (await events.next())["type"] == "heartbeat"


async def test_what_is_delisted_is_gone(http: ClientSession, site: Site) -> None:
    async with http.get(f"{site.url}/v1/stream") as answer:
        events = Events(answer)
        await events.next("states")
        del site.serving.changing[LOST]
        assert (await events.next("states"))["gone"] == [LOST]
    async with http.get(f"{site.url}/v1/stream") as answer:
        assert names(await Events(answer).next("states")) == [BTC, ETH]


async def test_resumed_by_the_last_id(http: ClientSession, site: Site) -> None:
    async with http.get(f"{site.url}/v1/stream") as answer:
        events = Events(answer)
        await events.next("states")
        last_id = events.last_id
    change(site, BTC, 77.5)
    async with http.get(f"{site.url}/v1/stream", headers={"Last-Event-ID": last_id}) as answer:
        event = await Events(answer).next("states")
        assert (event["whole"], names(event), event["states"][0]["mid"]) == (False, [BTC], 77.5)


@pytest.mark.parametrize(
    "last_id", ["", "x", "00000000.1", "{epoch}.", "{epoch}.-1", "{epoch}.9999"]
)
async def test_an_id_of_another_run_gives_a_snapshot(
    http: ClientSession, site: Site, last_id: str
) -> None:
    headers = {"Last-Event-ID": last_id.format(epoch=site.hub.epoch)}
    async with http.get(f"{site.url}/v1/stream", headers=headers) as answer:
        event = await Events(answer).next("states")
        assert (event["whole"], names(event)) == (True, [BTC, ETH, LOST])


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("instruments=NO-SUCH", 404, "NO-SUCH"),
        ("instruments=", 400, "no instrument name"),
        ("instruments=" + ",".join(f"X{n}" for n in range(501)), 400, "1 to 500"),
        ("lengths=2s", 400, "there are 1s, 10s, 1m"),
        ("lengths=", 400, "no windows of ''"),
        ("states=maybe", 400, "neither true nor false"),
        ("states=false", 400, "neither states nor windows"),
        ("instrument=ETH-PERPETUAL", 400, "instruments"),
    ],
)
async def test_bad_requests(
    http: ClientSession, site: Site, query: str, status: int, told: str
) -> None:
    problem = await ask_wrongly(http, f"{site.url}/v1/stream?{query}", status)
    assert told in problem.detail
    assert not site.hub.clients


async def test_one_more_than_the_limit_is_refused(http: ClientSession, site: Site) -> None:
    answers = [await http.get(f"{site.url}/v1/stream") for _ in range(MAX_STREAMS)]
    problem = await ask_wrongly(http, f"{site.url}/v1/stream", 503)
    assert problem.type == "urn:steelyard:problem:no-room"
    assert str(MAX_STREAMS) in problem.detail
    answers.pop().close()
    async with asyncio.timeout(PATIENCE_S):
        while len(site.hub.clients) == MAX_STREAMS:
            await asyncio.sleep(0.01)
    async with http.get(f"{site.url}/v1/stream") as answer:
        assert answer.status == 200


async def test_the_end_is_said(http: ClientSession, site: Site) -> None:
    async with http.get(f"{site.url}/v1/stream") as answer:
        events = Events(answer)
        await events.next("states")
        await site.hub.close()
        assert (await events.next("end"))["reason"] == "going-away"
        with pytest.raises(AssertionError, match="has ended"):
            await events.next()
    await ask_wrongly(http, f"{site.url}/v1/stream", 503)


async def test_who_does_not_read_delays_nobody_and_is_dropped(
    http: ClientSession, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "SLOW_TIMEOUT_S", 1.0)
    port = URL(site.url).port
    deaf = []
    for _ in range(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.transport.pause_reading()
        writer.write(f"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        deaf.append((reader, writer))
    async with http.get(f"{site.url}/v1/stream?instruments={ETH}") as answer:
        events = Events(answer)
        await events.next("states")
        rounds = 0
        async with asyncio.timeout(60):
            while len(site.hub.clients) > 1:
                rounds += 1
                for name in (BTC, ETH, LOST):
                    # Wide enough that what nobody reads does not fit into the sockets.
                    site.serving.changing[name].channel = f"book.{name}.{'x' * 30_000}"
                    change(site, name, float(rounds))
                mid = float(rounds)
                await events.next(
                    lambda e, mid=mid: e["type"] == "states" and e["states"][0]["mid"] == mid
                )
        assert rounds > 3
    for _, writer in deaf:
        writer.close()


async def test_a_slow_client_misses_what_is_between_and_gets_the_last(
    site: Site, http: ClientSession
) -> None:
    port = URL(site.url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_000)
    writer.write(
        f"GET /v1/stream?instruments={ETH} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    )
    async with http.get(f"{site.url}/v1/stream?instruments={ETH}") as answer:
        events = Events(answer)
        await events.next("states")
        site.serving.changing[ETH].channel = "book." + "x" * 500_000
        rounds = [float(number) for number in range(1, 31)]
        for mid in rounds:
            change(site, ETH, mid)
            await events.next(
                lambda e, mid=mid: e["type"] == "states" and e["states"][0]["mid"] == mid
            )
    received = b""
    async with asyncio.timeout(PATIENCE_S):
        while b'"mid":30.0' not in received or not received.endswith(b"\n\n"):
            received += await reader.read(1 << 20)
    writer.close()
    told = [json.loads(line[6:]) for line in received.splitlines() if line[:6] == b"data: "]
    seen = [event["states"][0]["mid"] for event in told if event["type"] == "states"][1:]
    assert seen[-1] == rounds[-1]
    assert seen == sorted(set(seen))
    assert len(seen) < len(rounds), "nothing was missed: the client was not slow"


async def test_a_state_that_is_written_anew_is_not_measured_as_late(
    http: ClientSession, site: Site
) -> None:
    told: list[float] = []
    site.hub._measure = told.append
    async with http.get(f"{site.url}/v1/stream") as answer:
        events = Events(answer)
        await events.next("states")
        change(site, ETH, 1.0)  # as at a window's end: nothing was heard
        await events.next(lambda event: "states" in event and names(event) == [ETH])
        assert told == []
        site.serving.changing[ETH].received_ms = site.serving.clock_ms - 40
        change(site, ETH, 2.0)
        await events.next(lambda event: "states" in event and names(event) == [ETH])
    assert told == [0.04]


@pytest.mark.parametrize("length", ["60s", "60000ms", " 1m", "1m,60s", "10000ms/1s"])
async def test_a_length_is_the_same_however_it_is_written(
    http: ClientSession, site: Site, length: str
) -> None:
    async with http.get(f"{site.url}/v1/stream", params={"lengths": length}) as answer:
        assert answer.status == 200
        (client,) = site.hub.clients
        found = {key.channel for key in client.wanted}
    assert found == {"states", "10s/1s" if "/" in length else "1m"}


@pytest.mark.parametrize("length", ["2s", "", "1", "1S", "1.5s", "0s", "-1s", "\u0661s", "9" * 99])
async def test_a_length_that_there_is_not_is_refused(
    http: ClientSession, site: Site, length: str
) -> None:
    for path, name in (("stream", "lengths"), (f"windows/{ETH}", "length")):
        problem = await ask_wrongly(http, URL(f"{site.url}/v1/{path}") % {name: length}, 400)
        assert problem.type == "urn:steelyard:problem:bad-parameter"
        assert len(problem.detail) < 300
