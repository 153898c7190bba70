"""Who answers for an instrument: this worker, or its owner, asked once on the client's behalf.

An owner is asked only at the address that the group's own assignment gives. Its answer is handed on
byte for byte; a request that was handed on once is never handed on again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, web
from yarl import URL

from app.serving import Serving
from app.views.envelope import JSON_TYPE
from app.views.problems import PROBLEM_TYPE, Problem

HOP_HEADER: Final = "X-Steelyard-Hop"
PROXY_TIMEOUT_S: Final = 2.0
PROXIED_BYTES: Final = 64 * 1024**2
PASSED_REQUEST_HEADERS: Final = ("If-None-Match", "Authorization")
"""The token, which was right here, is that of every worker of the group."""
PASSED_ANSWER_HEADERS: Final = ("Cache-Control", "ETag", "Retry-After")
JSON_TYPES: Final = (JSON_TYPE, PROBLEM_TYPE)


async def ask_owner(serving: Serving, request: web.Request, instrument: str) -> web.Response | None:
    """Return the owner's answer, or None if this worker is the owner and has to answer itself.

    Raises a 503 problem if nobody owns the instrument or the owner does not answer in time.
    """
    owner = serving.owner(instrument)
    if owner.url is None:
        return None
    if not owner.url or HOP_HEADER in request.headers:
        raise _unavailable(f"nobody serves partition {owner.partition} with {instrument} just now")
    try:
        return await _fetch(_target(owner.url, request), request)
    except (ClientError, TimeoutError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise _unavailable(f"the worker that owns {instrument} did not answer: {reason}") from error


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


async def _fetch(target: URL, request: web.Request) -> web.Response:
    headers = {HOP_HEADER: "1", "Accept-Encoding": "identity"}
    headers |= _picked(request.headers, PASSED_REQUEST_HEADERS)
    # A session for one request costs 0.2 ms and leaves nothing to close when the worker stops.
    async with (
        ClientSession(
            timeout=ClientTimeout(total=PROXY_TIMEOUT_S),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
        ) as session,
        session.get(target, headers=headers, allow_redirects=False) as answer,
    ):
        # Another program may listen there by now: what is not our kind of answer is not passed on.
        if answer.status != 304 and answer.content_type not in JSON_TYPES:
            raise ValueError(f"it answered {answer.status} {answer.content_type}")
        body = await answer.content.read(PROXIED_BYTES + 1)
        while not answer.content.at_eof() and len(body) <= PROXIED_BYTES:
            body += await answer.content.read(PROXIED_BYTES + 1 - len(body))
        if len(body) > PROXIED_BYTES:
            raise ValueError(f"its answer is longer than {PROXIED_BYTES} bytes")
        response = web.Response(status=answer.status, body=body, content_type=answer.content_type)
        response.headers.update(_picked(answer.headers, PASSED_ANSWER_HEADERS))
        return response


def _picked(headers: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}


def _unavailable(detail: str) -> Problem:
    return Problem(503, "owner-unavailable", detail, retry=True)
