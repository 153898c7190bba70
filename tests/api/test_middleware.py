"""Every error is problem+json, whatever was sent; every answer carries the guarding headers."""

import asyncio
import json
import logging

import pytest
from aiohttp import ClientSession
from yarl import URL

from app.api.envelope import encode
from tests.api.checks import ask_wrongly, check_headers
from tests.api.recorded import RecordedServing

ETH = "ETH-PERPETUAL"
HOSTILE_NAMES = [
    "eth-perpetual",
    "ETH%20PERPETUAL",
    "ETH%00",
    "ETH%0d%0aSet-Cookie:%20a=b",
    "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc",
    "A" * 65,
    "BTC.PERP",
    "%F0%9F%90%8D",
    "ETH-PERPETUAL%0a",
    "'%20OR%201=1--",
    "%EF%BC%A5TH",  # a fullwidth E
]


@pytest.mark.parametrize("noun", ["imbalance", "books", "windows"])
@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_hostile_names(http: ClientSession, url: str, noun: str, name: str) -> None:
    target = URL(f"{url}/v1/{noun}/{name}", encoded=True)
    problem = await ask_wrongly(http, target, 400)
    assert problem.type == "urn:steelyard:problem:bad-instrument"
    assert "\n" not in problem.detail


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v2/imbalance",
        "/v1/imbalance/",
        "/v1/imbalance/ETH-PERPETUAL/",
        "/static/",
        "/static/../app/worker.py",
        "/static/..%2fpyproject.toml",
        "/static/%2fetc/passwd",
        "/static/app.js%00.html",
        "/wp-login.php",
        "/%ff%fe",
    ],
)
async def test_unknown_paths(http: ClientSession, url: str, path: str) -> None:
    problem = await ask_wrongly(http, URL(url + path, encoded=True), 404)
    assert problem.type == "urn:steelyard:problem:no-such-path"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_get_and_head(http: ClientSession, url: str, method: str) -> None:
    async with http.request(method, f"{url}/v1/imbalance") as answer:
        assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD"}
    problem = await ask_wrongly(http, f"{url}/v1/imbalance", 405, method)
    assert method in problem.detail


async def test_head_has_no_body(http: ClientSession, url: str) -> None:
    async with http.head(f"{url}/v1/imbalance") as answer:
        assert answer.status == 200
        assert int(answer.headers["Content-Length"]) > 1_000
        check_headers(answer)
        assert await answer.read() == b""


async def test_a_long_url_is_refused_and_not_repeated(http: ClientSession, url: str) -> None:
    async with http.get(f"{url}/v1/imbalance?sort=" + "x" * 4_100) as answer:
        assert answer.status == 414
        assert answer.content_type == "application/problem+json"
        assert len(await answer.read()) < 600


async def test_a_body_is_refused(http: ClientSession, url: str) -> None:
    problem = await ask_wrongly(http, f"{url}/v1/imbalance", 413, data=b"x" * 100_000)
    assert problem.type == "urn:steelyard:problem:request-too-large"


async def test_a_fault_is_logged_and_not_shown(
    http: ClientSession,
    url: str,
    serving: RecordedServing,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise RuntimeError("the secret reason")

    monkeypatch.setattr(serving, "states", fail)
    with caplog.at_level(logging.ERROR):
        problem = await ask_wrongly(http, f"{url}/v1/imbalance", 500)
    assert "secret" not in problem.model_dump_json()
    assert "the secret reason" in caplog.text


async def test_a_number_that_is_none_is_a_fault_not_an_answer(
    http: ClientSession, url: str, serving: RecordedServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = serving.states()
    states[ETH].imbalance_5 = float("nan")
    monkeypatch.setattr(serving, "states", lambda: states)
    await ask_wrongly(http, f"{url}/v1/imbalance/{ETH}", 500)
    await ask_wrongly(http, f"{url}/v1/imbalance", 500)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: {"a": [{"b": (1, x)}]}])
def test_the_encoder_refuses_what_is_no_number(bad: float, wrap) -> None:
    with pytest.raises(ValueError, match="not a JSON number"):
        encode(wrap(bad))


def test_the_encoder_writes_null_and_shortest_numbers() -> None:
    assert encode({"a": None, "b": 0.1, "c": [1, "é"]}) == '{"a":null,"b":0.1,"c":[1,"é"]}'.encode()


async def test_garbage_on_the_socket_does_not_stop_the_server(
    http: ClientSession, url: str
) -> None:
    port = URL(url).port
    for garbage in (b"\x00\xff\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 9_000):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(garbage)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 5)
        assert not answer or answer.split(b" ")[1].startswith(b"4")
        writer.close()
    async with http.get(f"{url}/livez") as answer:
        assert answer.status == 200
        assert json.loads(await answer.read())["ok"] is True
