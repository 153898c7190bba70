"""What stands around every handler: request limits, errors as problem+json, security headers."""

from __future__ import annotations

import logging
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from app.views.problems import Problem, problem_response, shown

URL_CHARS: Final = 4_096
METHODS: Final = ("GET", "HEAD")

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

_log = logging.getLogger(__name__)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every request, whatever happens in its handler."""
    try:
        response = await _answer(request, handler)
    except Exception:
        _log.exception("a view failed: %s %s", request.method, shown(request.path_qs))
        detail = "the server failed at this request; its log says why"
        response = problem_response(Problem(500, "fault", detail), _instance(request))
    if not response.prepared:
        response.headers.update(HEADERS)
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        _check_limits(request)
        return await handler(request)
    except Problem as problem:
        return problem_response(problem, _instance(request))
    except web.HTTPException as error:
        return _of_framework(request, error)


def _instance(request: web.Request) -> str:
    path = request.rel_url.raw_path
    return path if len(path) <= URL_CHARS else ""


def _check_limits(request: web.Request) -> None:
    if len(request.raw_path) > URL_CHARS:
        detail = f"the URL has {len(request.raw_path)} characters; {URL_CHARS} are the limit"
        raise Problem(414, "url-too-long", detail)
    if request.method in METHODS and request.can_read_body:
        raise Problem(413, "request-too-large", f"a {request.method} request takes no body")


def _of_framework(request: web.Request, error: web.HTTPException) -> web.Response:
    """Return a problem for what aiohttp itself refuses, such as an unknown path."""
    detail = error.reason
    if error.status == 404:
        detail = f"nothing is served at {shown(request.path)}; try /v1/instruments"
    elif error.status == 405:
        detail = f"{request.path} takes {error.headers.get('Allow', '')}, not {request.method}"
    kind = KINDS.get(error.status, f"http-{error.status}")
    response = problem_response(Problem(error.status, kind, detail), _instance(request))
    if allow := error.headers.get("Allow"):
        response.headers["Allow"] = allow
    return response
