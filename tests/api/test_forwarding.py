"""Any worker answers: what another one owns is asked for there, once, and handed on as it came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from yarl import URL

from app.api import forwarding as owners
from app.api.peer_signatures import Peers
from app.state.read_model import Owner
from models.answers import BookAnswer, ImbalanceAnswer, WindowsAnswer
from tests.api.checks import ask, ask_wrongly, check_headers
from tests.api.recorded import RecordedServing, served

ETH = "ETH-PERPETUAL"
OWNED = [f"/v1/books/{ETH}", f"/v1/books/{ETH}?depth=3", f"/v1/windows/{ETH}?length=10s&limit=2"]


SECRET = "the secret of worker-1"


@asynccontextmanager
async def owner_with(handler) -> AsyncIterator[str]:
    """Serve any path with a handler, each answer with the proof of worker 1."""
    peers = Peers(SECRET)

    async def proven(request: web.Request) -> web.Response:
        assert peers.has_proven(request)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status, headers={"Location": "/elsewhere"})
        peers.sign(request, response)
        return response

    application = web.Application()
    application.router.add_get("/{path:.*}", proven)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("path", OWNED)
async def test_the_owners_answer_byte_for_byte(
    http: ClientSession, url: str, other: RecordedServing, path: str
) -> None:
    other.owners[ETH] = Owner(5, url + "/", SECRET)
    async with served(other) as other_url:
        async with http.get(url + path) as direct, http.get(other_url + path) as handed_on:
            assert handed_on.status == 200
            assert await handed_on.read() == await direct.read()
            assert handed_on.headers.get("ETag") == direct.headers.get("ETag")
            check_headers(handed_on)
        model = BookAnswer if "books" in path else WindowsAnswer
        answer = await ask(http, other_url + path, model)
        assert answer.meta.worker == "worker-1"


async def test_an_etag_is_answered_by_the_owner(
    http: ClientSession, url: str, other: RecordedServing
) -> None:
    other.owners[ETH] = Owner(5, url, SECRET)
    async with served(other) as other_url:
        async with http.get(f"{other_url}/v1/books/{ETH}") as answer:
            held = {"If-None-Match": answer.headers["ETag"]}
        async with http.get(f"{other_url}/v1/books/{ETH}", headers=held) as answer:
            assert (answer.status, await answer.read()) == (304, b"")


async def test_imbalance_is_known_everywhere(http: ClientSession, other: RecordedServing) -> None:
    async with served(other) as other_url:  # nobody else runs
        answer = await ask(http, f"{other_url}/v1/imbalance/{ETH}", ImbalanceAnswer)
    assert answer.meta.worker == "worker-2"


@pytest.mark.parametrize("path", OWNED)
async def test_a_dead_owner(http: ClientSession, other: RecordedServing, path: str) -> None:
    async with owner_with(page_of_another_program) as dead_url:
        pass
    other.owners[ETH] = Owner(5, dead_url, SECRET)
    async with served(other) as other_url:
        problem = await ask_wrongly(http, other_url + path, 503)
    assert problem.type == "urn:steelyard:problem:owner-unavailable"
    assert ETH in problem.detail


async def test_nobody_owns_it(http: ClientSession, other: RecordedServing) -> None:
    async with served(other) as other_url:
        problem = await ask_wrongly(http, f"{other_url}/v1/books/{ETH}", 503)
    assert "nobody serves partition 5" in problem.detail


async def test_two_that_take_each_other_for_the_owner_ask_once(
    http: ClientSession,
    url: str,
    serving: RecordedServing,
    other: RecordedServing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    known = serving.states()
    async with served(other) as other_url:
        for worker, elsewhere, secret in (
            (serving, other_url, other.secret),
            (other, url, serving.secret),
        ):

            def owner(
                name: str,
                worker: str = worker.worker,
                elsewhere: str = elsewhere,
                secret: str = secret,
            ) -> Owner:
                asked.append(worker)
                return Owner(5, elsewhere, secret)

            monkeypatch.setattr(worker, "owner", owner)
            monkeypatch.setattr(worker, "states", lambda: known)
        await ask_wrongly(http, f"{url}/v1/books/{ETH}", 503)
    assert asked == ["worker-1", "worker-2"]


async def test_bad_requests_are_not_handed_on(
    http: ClientSession, url: str, other: RecordedServing
) -> None:
    asked: list[str] = []

    async def note(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.json_response({})

    async with owner_with(note) as owner_url:
        other.owners[ETH] = Owner(5, owner_url, SECRET)
        async with served(other) as other_url:
            await ask_wrongly(http, f"{other_url}/v1/books/{ETH}?depth=0", 400)
            await ask_wrongly(http, f"{other_url}/v1/books/NO-SUCH", 404)
            async with http.get(f"{other_url}/v1/books/{ETH}?depth=7") as answer:
                assert answer.status == 200
    assert asked == [f"/v1/books/{ETH}?depth=7"]


async def test_a_slow_owner_is_given_up(
    http: ClientSession, other: RecordedServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert owners.PROXY_TIMEOUT_S == 2.0
    monkeypatch.setattr(owners, "PROXY_TIMEOUT_S", 0.2)
    release = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await release.wait()
        return web.json_response({})

    async with owner_with(hang) as owner_url:
        other.owners[ETH] = Owner(5, owner_url, SECRET)
        async with served(other) as other_url:
            await ask_wrongly(http, f"{other_url}/v1/books/{ETH}", 503)
        release.set()


async def page_of_another_program(request: web.Request) -> web.Response:
    return web.Response(text="<script>alert(1)</script>", content_type="text/html")


async def redirect_elsewhere(request: web.Request) -> web.Response:
    if request.path == "/elsewhere":
        return web.json_response({"ok": True})
    raise web.HTTPFound("/elsewhere")


async def cookie_setter(request: web.Request) -> web.Response:
    return web.json_response({}, headers={"Set-Cookie": "a=b", "Access-Control-Allow-Origin": "*"})


@pytest.mark.parametrize("handler", [page_of_another_program, redirect_elsewhere])
async def test_what_is_no_answer_of_ours_is_not_passed_on(
    http: ClientSession, other: RecordedServing, handler
) -> None:
    async with owner_with(handler) as owner_url:
        other.owners[ETH] = Owner(5, owner_url, SECRET)
        async with served(other) as other_url:
            await ask_wrongly(http, f"{other_url}/v1/books/{ETH}", 503)


async def test_only_chosen_headers_are_passed_on(
    http: ClientSession, other: RecordedServing
) -> None:
    async with owner_with(cookie_setter) as owner_url:
        other.owners[ETH] = Owner(5, owner_url, SECRET)
        async with served(other) as other_url, http.get(f"{other_url}/v1/books/{ETH}") as answer:
            assert answer.status == 200
            assert "Set-Cookie" not in answer.headers
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_an_answer_that_is_too_long(
    http: ClientSession, other: RecordedServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "PROXIED_BYTES", 1_000)

    async def long(request: web.Request) -> web.Response:
        return web.json_response("x" * 2_000)

    async with owner_with(long) as owner_url:
        other.owners[ETH] = Owner(5, owner_url, SECRET)
        async with served(other) as other_url:
            problem = await ask_wrongly(http, f"{other_url}/v1/books/{ETH}", 503)
    assert "longer than 1000 bytes" in problem.detail


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/", "127.0.0.1:6066", "file:///etc/passwd"])
async def test_an_owner_without_an_http_address(
    http: ClientSession, other: RecordedServing, address: str
) -> None:
    other.owners[ETH] = Owner(5, address, SECRET)
    async with served(other) as other_url:
        await ask_wrongly(http, f"{other_url}/v1/books/{ETH}", 503)


async def test_the_path_is_built_from_the_request_alone(
    http: ClientSession, url: str, other: RecordedServing
) -> None:
    other.owners[ETH] = Owner(5, url + "/elsewhere?x=1", SECRET)
    async with served(other) as other_url:
        target = URL(f"{other_url}/v1/windows/{ETH}?from=2024-08-08T23:54:20%2B00:00", encoded=True)
        answer = await ask(http, target, WindowsAnswer)
    assert answer.meta.from_ms == 1_723_161_260_000
