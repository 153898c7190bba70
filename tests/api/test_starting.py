"""A worker that has not read the instruments yet says so; an empty list means that there are none.

tests/api/test_any_worker.py has the same of a real worker that is started again.
"""

from __future__ import annotations

import pytest
from aiohttp import ClientSession

from models.answers import ImbalancesAnswer, InstrumentsAnswer, LiveAnswer
from tests.api.checks import ask, ask_wrongly
from tests.api.recorded import RecordedServing

ETH = "ETH-PERPETUAL"
PATHS = (
    "/v1/instruments",
    "/v1/imbalance",
    f"/v1/imbalance?instruments={ETH}",
    f"/v1/imbalance/{ETH}",
    f"/v1/books/{ETH}",
    f"/v1/windows/{ETH}",
    "/v1/quality",
    "/v1/stream",
    f"/v1/stream?instruments={ETH}",
    "/v1/stream?states=false&lengths=1s",
)


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_about_instruments_says_when_to_come_again(
    http: ClientSession, url: str, serving: RecordedServing, path: str
) -> None:
    serving.knows_states = False
    serving.faults = ["tables are being recovered"]
    problem = await ask_wrongly(http, url + path, 503)  # which checks Retry-After, too
    assert problem.type == "urn:steelyard:problem:not-ready"
    assert "is starting" in problem.detail
    assert "tables are being recovered" in problem.detail
    serving.knows_states = True
    async with http.get(url + path) as answer:
        assert answer.status == 200


async def test_a_websocket_is_told_to_come_later(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    serving.knows_states = False
    serving.faults = ["partitions are being assigned; " * 10]
    async with http.ws_connect(f"{url}/v1/ws") as ws:
        message = await ws.receive()
    assert ws.close_code == 1013
    assert message.extra.startswith("this worker is starting")
    serving.knows_states = True
    async with http.ws_connect(f"{url}/v1/ws") as ws:
        await ws.send_json({"op": "ping"})
        assert (await ws.receive_json())["type"] == "pong"


async def test_what_is_not_about_instruments_is_answered(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    serving.knows_states = False
    await ask(http, f"{url}/livez", LiveAnswer)
    for path in ("/", "/openapi.json", "/metrics"):
        async with http.get(url + path) as answer:
            assert answer.status == 200


async def test_no_instrument_is_an_empty_list(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    serving.processors = {}
    assert (await ask(http, f"{url}/v1/imbalance", ImbalancesAnswer)).data == []
    assert (await ask(http, f"{url}/v1/instruments", InstrumentsAnswer)).data == []
