"""A crowd on one worker: everybody who reads gets the last state, whoever else does not read."""

import asyncio
import copy

import pytest
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from app.api.site import Limits
from tests.api.push.conftest import BTC, ETH
from tests.api.push.crowd import Result, crowd
from tests.api.push.reading import Events
from tests.api.recorded import RecordedServing, served_with_hub

READERS = 50
DEAF = 20
ROUNDS = 20


@pytest.fixture
def busy(market: RecordedServing) -> RecordedServing:
    serving = copy.copy(market)
    states = market.states()
    serving.states = lambda: dict(states)
    serving.changing = states
    return serving


async def test_a_crowd_gets_the_last_and_shares_the_bytes(busy: RecordedServing) -> None:
    limits = Limits(max_streams=READERS + DEAF)
    connector = TCPConnector(limit=0)
    async with (
        served_with_hub(busy, limits=limits) as (url, hub),
        ClientSession(connector=connector, timeout=ClientTimeout(total=None)) as http,
    ):
        made = 0
        make = hub._batch

        def count(*place: object) -> object:
            nonlocal made
            made += 1
            return make(*place)

        hub._batch = count
        deaf = []
        port = int(url.rpartition(":")[2])
        for _ in range(DEAF):
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            writer.transport.pause_reading()
            writer.write(b"GET /v1/stream HTTP/1.0\r\nHost: localhost\r\n\r\n")
            deaf.append(writer)
        answers = [await http.get(f"{url}/v1/stream") for _ in range(READERS)]
        crowd = [Events(answer) for answer in answers]
        await asyncio.gather(*(events.next("states") for events in crowd))
        before = made
        for number in range(1, ROUNDS + 1):
            for name in (BTC, ETH):
                busy.changing[name].mid = float(number)
                busy.changing[name].published_ms += 1
            await asyncio.gather(
                *(
                    events.next(
                        lambda e, mid=number: any(
                            row["instrument"] == ETH and row["mid"] == mid
                            for row in e.get("states", ())
                        )
                    )
                    for events in crowd
                )
            )
        # One batch for all who stand at the same place, not one each.
        assert made - before < ROUNDS * READERS / 2
        for writer in deaf:
            writer.close()
        for answer in answers:
            answer.close()


async def test_the_load_script_measures(busy: RecordedServing) -> None:
    def measured(url: str) -> Result:
        with crowd(url, "", clients=10, deaf=2, seconds=1.5, skip_s=0.2, processes=2) as result:
            pass
        return result

    async with served_with_hub(busy) as (url, hub):
        running = asyncio.create_task(asyncio.to_thread(measured, url))
        most = 0
        while not running.done():
            most = max(most, len(hub.clients))
            busy.clock_ms += 1
            busy.changing[ETH].published_ms += 1
            await asyncio.sleep(0.05)
        result = await running
    assert most == 12
    assert result.events >= 10
    assert result.ended == result.refused == 0
    assert len(result.late_ms) == result.events
    assert 0 < result.cpu_share < 1
