"""Workers prove themselves to each other: a stranger at a worker's port learns no token and forges
no answer, and what was heard of an old answer or question is of no use."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web

from app.api.authentication import Access
from app.api.peer_signatures import PROOF_HEADER, Peers
from app.api.rate_limit import Rates
from app.api.site import Limits
from app.state.read_model import Owner
from models.answers import BookAnswer, WindowsAnswer
from tests.api.checks import ask_wrongly
from tests.api.recorded import RecordedServing, served

ETH = "ETH-PERPETUAL"
TOKEN = "kept from strangers: 0123456789"
BASIC = "Basic " + base64.b64encode(f"me:{TOKEN}".encode()).decode()
BOOK, WINDOWS = f"/v1/books/{ETH}", f"/v1/windows/{ETH}?length=10s&limit=3"
SECRET = "the secret of worker-1"
FORGED = b'{"ok":true,"data":{"bids":[[1.0,1.0]]},"meta":{"status":"live","age_ms":0}}'
WITHHELD = {"Authorization", "Cookie", "Proxy-Authorization"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def with_token(token: str | None = TOKEN) -> Limits:
    return Limits(Access(token, is_local=token is None))


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[str]:
    """Serve every path with a handler: another program, at the port where a worker was."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Stranger:
    """A program that answers what it likes, and keeps all that it is told."""

    def __init__(self, **headers: str) -> None:
        self.headers = headers
        self.asked: list[web.Request] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        return web.Response(body=FORGED, content_type="application/json", headers=self.headers)


class Overhearing:
    """Passes questions on to a worker, and keeps questions and answers; may then change them."""

    def __init__(self, worker_url: str) -> None:
        self.worker_url = worker_url
        self.questions: list[dict[str, str]] = []
        self.answers: list[tuple[int, bytes, dict[str, str]]] = []
        self.change: Callable[[int, bytes, dict[str, str]], tuple[int, bytes, dict[str, str]]]
        self.change = lambda *answer: answer
        self.is_replaying = False

    async def answer(self, request: web.Request) -> web.Response:
        if self.is_replaying:
            status, body, headers = self.answers[0]
            return web.Response(status=status, body=body, headers=headers)
        headers = {name: value for name, value in request.headers.items() if name != "Host"}
        self.questions.append(headers)
        async with (
            ClientSession(auto_decompress=False) as session,
            session.get(self.worker_url + request.path_qs, headers=headers) as answer,
        ):
            passed = {
                name: answer.headers[name]
                for name in (PROOF_HEADER, "Content-Type", "ETag", "Cache-Control")
                if name in answer.headers
            }
            self.answers.append((answer.status, await answer.read(), passed))
        status, body, headers = self.change(*self.answers[-1])
        return web.Response(status=status, body=body, headers=headers)


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", BASIC])
@pytest.mark.parametrize("path", [BOOK, WINDOWS])
async def test_a_stranger_at_a_dead_workers_port_gets_no_token_and_forges_nothing(
    http: ClientSession, other: RecordedServing, authorization: str, path: str
) -> None:
    for stranger in (
        Stranger(),
        Stranger(**{PROOF_HEADER: "0" * 64}),
        Stranger(**{PROOF_HEADER: "\u00fc"}),
        Stranger(**{PROOF_HEADER: ""}),
    ):
        async with (
            listening(stranger.answer) as dead_url,
            served(other, limits=with_token()) as url,
        ):
            other.owners[ETH] = Owner(5, dead_url, SECRET)
            headers = {"Authorization": authorization, "Cookie": f"token={TOKEN}"}
            problem = await ask_wrongly(http, url + path, 503, headers=headers)
        assert problem.type == "urn:steelyard:problem:owner-unavailable"
        (asked,) = stranger.asked
        said = f"{asked.raw_path} {asked.headers!r}"
        assert TOKEN not in said
        assert BASIC.split()[1] not in said
        assert not WITHHELD & set(asked.headers)


@pytest.mark.parametrize("token", [TOKEN, None])
@pytest.mark.parametrize(("path", "model"), [(BOOK, BookAnswer), (WINDOWS, WindowsAnswer)])
async def test_the_owner_answers_without_the_clients_token(
    http: ClientSession,
    serving: RecordedServing,
    other: RecordedServing,
    token: str | None,
    path: str,
    model: type[BookAnswer],
) -> None:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with served(serving, limits=with_token(token)) as owner_url:
        line = Overhearing(owner_url)
        async with (
            listening(line.answer) as heard_url,
            served(other, limits=with_token(token)) as url,
        ):
            other.owners[ETH] = Owner(5, heard_url, serving.secret)
            async with http.get(url + path, headers=headers) as answer:
                assert answer.status == 200
                assert PROOF_HEADER not in answer.headers
                assert model.model_validate_json(await answer.read()).meta.worker == "worker-1"
    (question,) = line.questions
    assert not WITHHELD & set(question)


async def test_an_answer_that_was_heard_before_is_refused(
    http: ClientSession, serving: RecordedServing, other: RecordedServing
) -> None:
    async with served(serving) as owner_url:
        line = Overhearing(owner_url)
        async with listening(line.answer) as heard_url, served(other) as url:
            other.owners[ETH] = Owner(5, heard_url, serving.secret)
            async with http.get(url + BOOK) as answer:
                assert answer.status == 200
            line.is_replaying = True
            await ask_wrongly(http, url + BOOK, 503)


CHANGES = {
    "status": lambda status, body, headers: (404, body, headers),
    "body": lambda status, body, headers: (status, body.replace(b'"live"', b'"dead"'), headers),
    "etag": lambda status, body, headers: (status, body, {**headers, "ETag": '"x"'}),
    "cache": lambda status, body, headers: (status, body, {**headers, "Cache-Control": "public"}),
    "added": lambda status, body, headers: (status, body, {**headers, "Retry-After": "9"}),
    "kind": lambda status, body, headers: (
        status,
        body,
        {**headers, "Content-Type": "application/problem+json"},
    ),
    "proof": lambda status, body, headers: (status, body, {**headers, PROOF_HEADER: "0" * 64}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_an_answer_that_was_changed_on_the_way_is_refused(
    http: ClientSession, serving: RecordedServing, other: RecordedServing, change
) -> None:
    async with served(serving) as owner_url:
        line = Overhearing(owner_url)
        async with listening(line.answer) as heard_url, served(other) as url:
            other.owners[ETH] = Owner(5, heard_url, serving.secret)
            async with http.get(url + BOOK) as answer:
                assert answer.status == 200
            line.change = change
            await ask_wrongly(http, url + BOOK, 503)


async def test_a_question_that_was_heard_opens_nothing_elsewhere(
    http: ClientSession, serving: RecordedServing, other: RecordedServing
) -> None:
    """What a stranger hears at a dead worker's port is of no use at a living one."""
    stranger = Stranger()
    async with (
        served(serving, limits=with_token()) as living_url,
        served(other, limits=with_token()) as url,
        listening(stranger.answer) as dead_url,
    ):
        other.owners[ETH] = Owner(5, dead_url, "the secret of a worker that is dead")
        await ask_wrongly(http, url + BOOK, 503, headers={"Authorization": f"Bearer {TOKEN}"})
        proof = stranger.asked[0].headers[PROOF_HEADER]
        for base in (living_url, url):
            problem = await ask_wrongly(http, base + BOOK, 401, headers={PROOF_HEADER: proof})
            assert problem.type == "urn:steelyard:problem:peer-not-proven"


@pytest.mark.parametrize("path", ["/v1/imbalance", BOOK, "/livez"])
@pytest.mark.parametrize("proof", ["", ".", "0.0", f"{'0' * 32}.{'0' * 64}", "\u00fc.\u00fc"])
async def test_only_a_worker_is_taken_for_one(
    http: ClientSession, serving: RecordedServing, path: str, proof: str
) -> None:
    async with served(serving, limits=with_token()) as url:
        async with http.get(url + path, headers={PROOF_HEADER: proof}) as answer:
            assert answer.status == 401
            assert PROOF_HEADER not in answer.headers
        token = {"Authorization": f"Bearer {TOKEN}"}
        async with http.get(f"{url}{path}", headers=token) as answer:
            assert answer.status == 200
            assert PROOF_HEADER not in answer.headers, "a client is given no proof to learn from"


async def test_workers_with_different_tokens_do_not_believe_each_other(
    http: ClientSession, serving: RecordedServing, other: RecordedServing
) -> None:
    async with (
        served(serving, limits=with_token(TOKEN)) as owner_url,
        served(other, limits=with_token(TOKEN + "?")) as url,
    ):
        other.owners[ETH] = Owner(5, owner_url, serving.secret)
        await ask_wrongly(http, url + BOOK, 503, headers={"Authorization": f"Bearer {TOKEN}?"})


async def test_an_owner_that_has_not_been_heard_of_is_not_asked(
    http: ClientSession, other: RecordedServing
) -> None:
    stranger = Stranger()
    async with listening(stranger.answer) as dead_url, served(other) as url:
        other.owners[ETH] = Owner(5, dead_url)
        problem = await ask_wrongly(http, url + BOOK, 503)
    assert "has not been heard of yet" in problem.detail
    assert not stranger.asked


async def test_a_stranger_cannot_send_the_worker_elsewhere(
    http: ClientSession, other: RecordedServing, serving: RecordedServing
) -> None:
    """Not even to the true owner: what is asked stays where the group says that the owner is."""
    async with served(serving) as owner_url:

        async def elsewhere(request: web.Request) -> web.Response:
            raise web.HTTPTemporaryRedirect(owner_url + request.path_qs)

        async with listening(elsewhere) as dead_url, served(other) as url:
            other.owners[ETH] = Owner(5, dead_url, serving.secret)
            await ask_wrongly(http, url + BOOK, 503)


async def test_no_proxy_has_a_part_in_it(
    http: ClientSession,
    serving: RecordedServing,
    other: RecordedServing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = Stranger()
    async with (
        listening(proxy.answer) as proxy_url,
        served(serving) as owner_url,
        served(other) as url,
    ):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy_url)
        monkeypatch.delenv("no_proxy", raising=False)
        other.owners[ETH] = Owner(5, owner_url, serving.secret)
        async with http.get(url + BOOK) as answer:
            assert answer.status == 200
    assert not proxy.asked


async def test_what_a_worker_asks_for_others_is_not_counted_as_its_own(
    http: ClientSession, serving: RecordedServing, other: RecordedServing
) -> None:
    """The worker that was asked has counted its client; many clients come by the same worker."""
    few = Limits(rates=Rates(per_s=0.001, burst=2))
    async with served(serving, limits=few) as owner_url, served(other) as url:
        other.owners[ETH] = Owner(5, owner_url, serving.secret)
        for _ in range(5):
            async with http.get(url + BOOK) as answer:
                assert answer.status == 200
        for _ in range(2):
            async with http.get(owner_url + BOOK) as answer:
                assert answer.status == 200
        async with http.get(owner_url + BOOK) as answer:
            assert answer.status == 429


def test_a_key_is_of_one_token_and_one_process() -> None:
    def proof(secret: str, token: str | None, asked: str = "process a") -> str:
        question = Peers(secret, token).question(asked, "/", {})
        question._nonce = "0"
        return question.proof

    proofs = [
        proof("mine", None),
        proof("mine", None, "process b"),
        proof("mine", "a token"),
        proof("mine", "another token"),
    ]
    assert len(set(proofs)) == len(proofs)
    assert proof("mine", None) == proof("of another", None), "who asks does not matter"
