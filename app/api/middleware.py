"""What stands around every handler: who may ask, how often, and what an error looks like."""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import urlsplit

from aiohttp import HttpVersion10, web
from aiohttp.typedefs import Handler

from app.api.authentication import Access
from app.api.peer_signatures import Peers
from app.api.problems import Problem, problem_response, shown
from app.api.rate_limit import Rates

URL_CHARS: Final = 4_096
METHODS: Final = ("GET", "HEAD")
OPEN_PATHS: Final = ("/livez", "/readyz", "/startupz")
"""A supervisor asks these without a token; they tell names of partitions, and no number."""
UNLIMITED_PATHS: Final = (*OPEN_PATHS, "/metrics")

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "steelyard",
    "X-Content-Type-Options": "nosniff",
}
KINDS: Final = {404: "no-such-path", 405: "method-not-allowed", 413: "request-too-large"}

_log = logging.getLogger("steelyard.views")


class Guard:
    """The one middleware of the views."""

    def __init__(self, access: Access, rates: Rates, peers: Peers) -> None:
        self.access = access
        self.rates = rates
        self.peers = peers

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer every request, whatever happens in its handler."""
        response = await self._answer_or_fault(request, handler)
        self.peers.sign(request, response)
        return response

    async def _answer_or_fault(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await self._answer(request, handler)
        except Exception:
            if request.writer.output_size > 0:  # the answer has begun: only its end can tell
                raise
            _log.exception("a view failed: %s %s", request.method, shown(request.path_qs))
            detail = "the server failed at this request; its log says why"
            return problem_response(Problem(500, "fault", detail), _instance(request))

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._check(request)
            return await handler(request)
        except Problem as problem:
            return problem_response(problem, _instance(request))
        except web.HTTPException as error:
            return _of_framework(request, error)

    def _check(self, request: web.Request) -> None:
        _check_line(request)
        if self.peers.has_proven(request):
            return  # the worker that asks has checked its client, token and rate
        if request.path not in OPEN_PATHS:
            self.access.check(request)
        if request.path not in UNLIMITED_PATHS:
            self.rates.check(request.remote or "")
        check_origin(request)
        _check_body(request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the guarding headers on whatever is about to be sent, streams included."""
    response.headers.update(HEADERS)


def check_origin(request: web.Request) -> None:
    """Refuse what a page of another site asks for.

    It could not read the JSON, for want of CORS headers, but it could follow a WebSocket.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        return
    try:
        is_own = urlsplit(origin).netloc.lower() == request.host.lower()
    except ValueError:  # such as http://[::1
        is_own = False
    if not is_own:
        raise Problem(403, "foreign-origin", f"pages of {shown(origin)} may not ask here")


def _instance(request: web.Request) -> str:
    path = request.rel_url.raw_path
    return path if len(path) <= URL_CHARS else ""


def _check_line(request: web.Request) -> None:
    if request.version < HttpVersion10:  # it has no headers, so none of what follows could be told
        raise Problem(400, "not-http", "HTTP/1.0 or a later version is spoken here")
    if len(request.raw_path) > URL_CHARS:
        detail = f"the URL has {len(request.raw_path)} characters; {URL_CHARS} are the limit"
        raise Problem(414, "url-too-long", detail)


def _check_body(request: web.Request) -> None:
    if request.method in METHODS and request.can_read_body:
        raise Problem(413, "request-too-large", f"a {request.method} request takes no body")


def _of_framework(request: web.Request, error: web.HTTPException) -> web.Response:
    """Return a problem for what aiohttp itself refuses, such as an unknown path."""
    detail = error.reason
    if error.status == 404:
        detail = f"nothing is served at {shown(request.path)}; see /openapi.json"
    elif error.status == 405:
        detail = (
            f"{shown(request.path)} takes {error.headers.get('Allow', '')}, not {request.method}"
        )
    kind = KINDS.get(error.status, f"http-{error.status}")
    response = problem_response(Problem(error.status, kind, detail), _instance(request))
    if allow := error.headers.get("Allow"):
        response.headers["Allow"] = allow
    return response
