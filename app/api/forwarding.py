"""Who answers for an instrument: this worker, or its owner, asked once on the client's behalf.

An owner is asked only at the address that the group's own assignment gives, and believed only with
its proof (peers.py). Its answer is handed on byte for byte; a question that was handed on once is
never handed on again. No token, no cookie and no proxy has a part in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, web
from yarl import URL

from app.api.envelope import JSON_TYPE
from app.api.peer_signatures import (
    ANSWERED_HEADERS,
    ASKED_HEADERS,
    NOT_MODIFIED,
    PROOF_HEADER,
    Peers,
    is_same,
    picked,
)
from app.api.problems import PROBLEM_TYPE, Problem
from app.state.read_model import Serving

PROXY_TIMEOUT_S: Final = 2.0
PROXIED_BYTES: Final = 64 * 1024**2
JSON_TYPES: Final = (JSON_TYPE, PROBLEM_TYPE)


class Owners:
    """The other workers, as far as they own what is asked for here."""

    def __init__(self, serving: Serving, peers: Peers) -> None:
        self.serving = serving
        self.peers = peers

    async def ask(self, request: web.Request, instrument: str) -> web.Response | None:
        """Return the owner's answer, or None if this worker is the owner and answers itself.

        Raises a 503 problem if nobody owns the instrument, or the owner does not answer in time,
        or what answers is not proven to be the owner.
        """
        owner = self.serving.owner(instrument)
        if owner.url is None:
            return None
        if not owner.url or PROOF_HEADER in request.headers:
            raise _unavailable(f"nobody serves partition {owner.partition} with {instrument} now")
        if not owner.secret:
            raise _unavailable(f"the worker that owns {instrument} has not been heard of yet")
        try:
            target = _target(owner.url, request)
            return await self._fetch(target, owner.secret, request.headers)
        except (ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            detail = f"the worker that owns {instrument} did not answer: {reason}"
            raise _unavailable(detail) from error

    async def why_not_reached(self, url: str, secret: str) -> str:
        """Return why the process with a secret does not answer at an address; "" if it does."""
        try:
            await self._fetch(URL(url).with_path("/livez"), secret, {})
        except (ClientError, TimeoutError, ValueError) as error:
            return str(error) or type(error).__name__
        return ""

    async def _fetch(self, target: URL, secret: str, asked_with: Mapping[str, str]) -> web.Response:
        question = self.peers.question(secret, target.raw_path_qs, asked_with)
        headers = {PROOF_HEADER: question.proof, "Accept-Encoding": "identity"}
        headers |= picked(asked_with, ASKED_HEADERS)
        # A session for one request costs 0.2 ms and leaves nothing to close when the worker stops.
        async with (
            ClientSession(
                timeout=ClientTimeout(total=PROXY_TIMEOUT_S),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            ) as session,
            session.get(target, headers=headers, allow_redirects=False) as answer,
        ):
            proof = answer.headers.get(PROOF_HEADER)
            if proof is None:
                raise ValueError(f"what answers there ({answer.status}) has no proof to be it")
            body = await answer.content.read(PROXIED_BYTES + 1)
            while not answer.content.at_eof() and len(body) <= PROXIED_BYTES:
                body += await answer.content.read(PROXIED_BYTES + 1 - len(body))
            if len(body) > PROXIED_BYTES:
                raise ValueError(f"its answer is longer than {PROXIED_BYTES} bytes")
            kind = answer.content_type
            wanted = question.answer_proof(answer.status, kind, answer.headers, body)
            if not is_same(proof, wanted):
                raise ValueError("what answers there does not prove to be it")
            if answer.status != NOT_MODIFIED and kind not in JSON_TYPES:
                raise ValueError(f"it answered {answer.status} {kind}")
            response = web.Response(status=answer.status, body=body, content_type=kind)
            response.headers.update(picked(answer.headers, ANSWERED_HEADERS))
            return response


def _target(base: str, request: web.Request) -> URL:
    url = URL(base)
    if url.scheme not in ("http", "https") or url.host is None:
        raise ValueError(f"{base!r} is no http address")
    asked = request.rel_url
    return URL.build(
        scheme=url.scheme,
        host=url.host,
        port=url.port,
        path=asked.raw_path,
        query_string=asked.raw_query_string,
        encoded=True,
    )


def _unavailable(detail: str) -> Problem:
    return Problem(503, "owner-unavailable", detail, retry=True)
