"""Errors as RFC 9457 problem documents: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from app.api.envelope import encode

PROBLEM_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:steelyard:problem:"
RETRY_AFTER_S: Final = 1
SUGGESTIONS: Final = 3
SUGGESTION_LIKENESS: Final = 0.5
SHOWN_CHARS: Final = 120
"""How much of what a client sent is repeated to it, at most."""


class Problem(Exception):
    """An answer that is an error; `extra` are members beyond those of RFC 9457."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        retry: bool = False,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.retry = retry
        self.headers = headers or {}
        self.extra = extra


def problem_document(problem: Problem, instance: str) -> dict[str, Any]:
    """Return the members of a problem that happened at the path `instance`."""
    return {
        "type": TYPE_PREFIX + problem.kind,
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance,
        **problem.extra,
    }


def problem_response(problem: Problem, instance: str) -> web.Response:
    """Return the response of a problem that happened at the path `instance`."""
    body = encode(problem_document(problem, instance))
    response = web.Response(status=problem.status, body=body, content_type=PROBLEM_TYPE)
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(problem.headers)
    if problem.retry:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def bad_parameter(name: str, detail: str) -> Problem:
    """Return the problem of a query parameter that can't be taken."""
    return Problem(400, "bad-parameter", f"parameter {name}: {detail}")


def shown(text: str) -> str:
    """Return what a client sent as it may be repeated: quoted, cut, on one line."""
    return repr(text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…")


def close_to(word: str, known: list[str]) -> list[str]:
    """Return the known words that `word` may have meant, the nearest first."""
    # Compared in capitals: `btc-perpetual` is the commonest slip.
    by_capitals = {name.upper(): name for name in known}
    nearest = get_close_matches(word.upper(), by_capitals, SUGGESTIONS, SUGGESTION_LIKENESS)
    return [by_capitals[name] for name in nearest]
