"""What is asserted of every answer: its schema, and the headers that guard it."""

from __future__ import annotations

from typing import TypeVar

from aiohttp import ClientResponse, ClientSession

from models.answers import Answer, Problem

Model = TypeVar("Model", bound=Answer)


def check_headers(answer: ClientResponse) -> None:
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Server"] == "steelyard"


async def ask(http: ClientSession, url: str, model: type[Model], status: int = 200) -> Model:
    """Return a checked answer."""
    async with http.get(url) as answer:
        body = await answer.read()
        assert answer.status == status, body
        assert answer.content_type == "application/json"
        check_headers(answer)
        return model.model_validate_json(body)


async def ask_wrongly(
    http: ClientSession, url: object, status: int, method: str = "GET", **options: object
) -> Problem:
    """Return a checked problem."""
    async with http.request(method, url, **options) as answer:
        body = await answer.read()
        assert answer.status == status, body
        assert answer.content_type == "application/problem+json"
        check_headers(answer)
        problem = Problem.model_validate_json(body)
        assert problem.status == status
        retries = status == 503
        assert answer.headers.get("Retry-After") == ("1" if retries else None)
        return problem
