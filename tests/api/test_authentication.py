"""Who may ask, how often, and how slowly: token, host, origin, rates, slow clients, bad HTTP."""

import asyncio
import base64
import time
from fractions import Fraction

import pytest
from aiohttp import ClientSession, WSServerHandshakeError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from yarl import URL

from app.api import server
from app.api.authentication import Access
from app.api.problems import Problem as ProblemError
from app.api.rate_limit import MAX_ADDRESSES, Rates, TokenBucket
from app.api.site import Limits
from app.build import access_of
from app.settings import Settings
from models.answers import ImbalancesAnswer, LiveAnswer, Problem
from tests.api.checks import ask, ask_wrongly, check_headers
from tests.api.recorded import RecordedServing, served

ETH = "ETH-PERPETUAL"
TOKEN = "a token of the test: ü"
WITH_TOKEN = {"Authorization": f"Bearer {TOKEN}"}
PATHS = [
    "/v1/imbalance",
    f"/v1/books/{ETH}",
    "/v1/stream",
    "/v1/ws",
    "/metrics",
    "/openapi.json",
    "/",
]


@pytest.fixture
def guarded() -> Limits:
    return Limits(Access(TOKEN, is_local=False))


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_without_the_token(
    http: ClientSession, serving: RecordedServing, guarded: Limits, path: str
) -> None:
    async with served(serving, limits=guarded) as url:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": f"Bearer {TOKEN[:-1]}"},
            {"Authorization": f"Digest {TOKEN}"},
            {"Authorization": "Basic !!!"},
            {"Authorization": "Basic " + base64.b64encode(b"user:wrong").decode()},
            {"Authorization": "Bearer"},
        ):
            problem = await ask_wrongly(http, url + path, 401, headers=headers)
            assert problem.type == "urn:steelyard:problem:token-needed"
            assert TOKEN not in problem.model_dump_json()
        async with http.get(url + path) as answer:
            assert "Bearer" in answer.headers["WWW-Authenticate"]


async def test_with_the_token(
    http: ClientSession, serving: RecordedServing, guarded: Limits
) -> None:
    async with served(serving, limits=guarded) as url:
        async with http.get(f"{url}/v1/imbalance", headers=WITH_TOKEN) as answer:
            ImbalancesAnswer.model_validate_json(await answer.read())
        basic = "Basic " + base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
        async with http.get(url + "/", headers={"Authorization": basic}) as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
        async with http.get(f"{url}/v1/stream", headers=WITH_TOKEN) as answer:
            assert answer.status == 200
        async with http.ws_connect(f"{url}/v1/ws", headers=WITH_TOKEN) as ws:
            await ws.send_json({"op": "ping"})
            assert (await ws.receive_json())["type"] == "pong"
        with pytest.raises(WSServerHandshakeError) as refused:
            await http.ws_connect(f"{url}/v1/ws")
        assert refused.value.status == 401
        await ask(http, f"{url}/livez", LiveAnswer)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:6066", "127.0.0.1.evil.example", ""]
)
async def test_a_name_that_somebody_else_points_here(
    http: ClientSession, url: str, host: str
) -> None:
    problem = await ask_wrongly(http, f"{url}/v1/imbalance", 421, headers={"Host": host})
    assert problem.type == "urn:steelyard:problem:foreign-host"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:6066"])
async def test_the_names_of_this_machine(http: ClientSession, url: str, host: str) -> None:
    async with http.get(f"{url}/v1/imbalance", headers={"Host": host}) as answer:
        assert answer.status == 200


BEYOND = {"web_host": "0.0.0.0", "allow_remote_web": True, "web_advertised": "me.example"}


@pytest.mark.parametrize(
    ("configured", "host", "is_answered"),
    [
        (BEYOND, "evil.example", False),
        (BEYOND, "worker.evil.example", False),
        (BEYOND, "", False),
        (BEYOND, "10.1.2.3:6066", True),
        (BEYOND, "[fd00::1]:6066", True),
        (BEYOND, "localhost:6067", True),
        (BEYOND, "me.example", True),
        (BEYOND, "worker", False),
        (BEYOND | {"web_hosts": "worker,Proxy.example"}, "worker:6066", True),
        (BEYOND | {"web_hosts": "worker,Proxy.example"}, "proxy.EXAMPLE", True),
        (BEYOND | {"web_hosts": "worker"}, "evil.example", False),
        # A proxy on this machine alone.
        ({"web_hosts": "proxy.example"}, "proxy.example", True),
        ({"allow_remote_web": True}, "evil.example", False),
        ({}, "10.1.2.3", False),
        # Who knows the token is asked no more, unless names are given.
        (BEYOND | {"web_token": TOKEN}, "any.example", True),
        (BEYOND | {"web_token": TOKEN, "web_hosts": "worker"}, "any.example", False),
        (BEYOND | {"web_token": TOKEN, "web_hosts": "worker"}, "worker", True),
    ],
)
async def test_names_beyond_this_machine(
    http: ClientSession,
    serving: RecordedServing,
    configured: dict[str, object],
    host: str,
    is_answered: bool,
) -> None:
    access = access_of(Settings(_env_file=None, **configured))
    async with served(serving, limits=Limits(access)) as url:
        headers = WITH_TOKEN | {"Host": host}
        if is_answered:
            async with http.get(f"{url}/v1/imbalance", headers=headers) as answer:
                assert answer.status == 200
        else:
            problem = await ask_wrongly(http, f"{url}/v1/imbalance", 421, headers=headers)
            assert "STEELYARD_WEB_HOSTS" in problem.detail


@pytest.mark.parametrize("hosts", ["a:1", "http://a", "*", "*.a", "a b", "[::1]", "-a"])
def test_what_is_no_name_of_a_host_is_refused(hosts: str) -> None:
    with pytest.raises(ValidationError, match="is no name of a host"):
        Settings(_env_file=None, web_hosts=hosts)


@pytest.mark.parametrize("path", ["/v1/imbalance", "/v1/stream", "/livez"])
async def test_pages_of_other_sites(http: ClientSession, url: str, path: str) -> None:
    for origin in ("https://evil.example", "null", "x" * 300):
        problem = await ask_wrongly(http, url + path, 403, headers={"Origin": origin})
        assert len(problem.detail) < 200
    async with http.get(url + path, headers={"Origin": url}) as answer:
        assert answer.status == 200


async def test_who_asks_too_often_is_told_to_wait(
    http: ClientSession, serving: RecordedServing
) -> None:
    limits = Limits(rates=Rates(per_s=0.001, burst=3))
    async with served(serving, limits=limits) as url:
        for _ in range(3):
            await ask(http, f"{url}/v1/imbalance", ImbalancesAnswer)
        async with http.get(f"{url}/v1/imbalance") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
            problem = Problem.model_validate_json(await answer.read())
        assert problem.type == "urn:steelyard:problem:too-many-requests"
        await ask(http, f"{url}/livez", LiveAnswer)


@given(
    waits=st.lists(st.integers(0, 4_000), max_size=60),
    per_s=st.integers(1, 20),
    burst=st.integers(1, 8),
)
def test_a_bucket_gives_what_it_has_and_no_more(waits: list[int], per_s: int, burst: int) -> None:
    now, tokens = Fraction(1), Fraction(burst)
    bucket = TokenBucket(per_s, burst)
    for wait_ms in waits:
        tokens = min(Fraction(burst), tokens + Fraction(wait_ms, 1_000) * per_s)
        now += Fraction(wait_ms, 1_000)
        assert bucket.take(float(now)) is (tokens >= 1)
        tokens -= tokens >= 1


def test_addresses_have_rates_of_their_own_and_are_bounded() -> None:
    now = 0.0
    rates = Rates(per_s=1, burst=1, now=lambda: now)
    rates.check("a")
    with pytest.raises(ProblemError):
        rates.check("a")
    rates.check("b")
    now = 1.0
    rates.check("a")
    for number in range(2 * MAX_ADDRESSES):
        rates.check(f"host {number}")
    assert len(rates._buckets) == MAX_ADDRESSES


async def test_a_request_that_comes_slowly_is_cut_off(
    http: ClientSession, serving: RecordedServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.REQUEST_TIMEOUT_S <= 15
    monkeypatch.setattr(server, "REQUEST_TIMEOUT_S", 1.0)
    async with served(serving) as url:
        port = URL(url).port
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]

        async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
            began = time.monotonic()
            writer.write(b"GET /v1/imbalance HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            ended = asyncio.create_task(reader.read())
            while not ended.done():
                writer.write(b"X-Slow: 1\r\n")
                await asyncio.wait({ended}, timeout=0.2)
            assert b" 200 " not in ended.result()
            writer.close()
            return time.monotonic() - began

        dribbling = asyncio.gather(*(dribble(*pair) for pair in slow), return_exceptions=True)
        await ask(http, f"{url}/v1/imbalance", ImbalancesAnswer)
        async with asyncio.timeout(30):
            ended = await dribbling
    assert all(isinstance(each, float | ConnectionError) for each in ended), ended


async def test_too_many_connections_are_closed(
    http: ClientSession, serving: RecordedServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SPARE_CONNECTIONS", 10)
    async with served(serving) as url:
        port = URL(url).port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
        await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        for _, each in held:
            each.close()
            await each.wait_closed()
        async with asyncio.timeout(10):
            while True:
                try:
                    await ask(http, f"{url}/livez", LiveAnswer)
                    break
                except (ConnectionError, OSError):
                    await asyncio.sleep(0.05)


NO_HTTP = {
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a method that is none": b"G\x00T / HTTP/1.1\r\n\r\n",
    "a long line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
    "a header with a line break": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r b\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
    b"Content-Length: 2\r\n\r\nx",
    "a version that is none": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("name", NO_HTTP)
async def test_what_is_no_http_gets_a_problem(url: str, name: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
    writer.write(NO_HTTP[name])
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    writer.close()
    assert head.split(b" ")[1].startswith(b"4"), head
    assert b"application/problem+json" in head
    assert b"X-Content-Type-Options: nosniff" in head
    problem = Problem.model_validate_json(body)
    assert str(problem.status).encode() in head
    assert len(body) < 1_000


def settings(**values: object) -> Settings:
    return Settings(_env_file=None, **values)


def test_beyond_this_machine_only_with_a_token_or_by_leave() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.com"):
        with pytest.raises(ValidationError, match="STEELYARD_WEB_TOKEN"):
            settings(web_host=host)
        assert settings(web_host=host, web_token="x" * 16).serves_others
        assert settings(web_host=host, allow_remote_web=True).serves_others
    assert not settings().serves_others
    with pytest.raises(ValidationError, match="16 characters"):
        settings(web_token="short")


def test_the_token_is_in_no_text_of_the_settings() -> None:
    configured = settings(web_token="canary-of-the-token")
    assert "canary" not in repr(configured) + str(configured) + str(configured.model_dump())
    with pytest.raises(ValidationError) as wrong:
        settings(web_token="canary-of-the-token", web_port=-1)
    assert "canary" not in str(wrong.value)


async def test_guarding_headers_are_on_streams_and_refusals(http: ClientSession, url: str) -> None:
    for path in ("/v1/stream", "/metrics", "/openapi.json", "/no-such"):
        async with http.get(url + path) as answer:
            check_headers(answer)
