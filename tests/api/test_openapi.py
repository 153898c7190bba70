"""/openapi.json describes what is served: valid, complete, and kept by every answer."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession
from openapi_spec_validator import OpenAPIV31SpecValidator

from app.api import routes
from app.api.openapi import document
from app.api.rate_limit import Rates
from app.api.routing import described, views
from app.api.site import Limits, install
from tests.api.recorded import RecordedServing, served

SEED = 20_261_123
EXAMPLES = 15
TIMEOUT_S = 200
NO_SCHEMA = {"/", "/static/{path}", "/openapi.json", "/v1/ws"}
"""Paths that the description leaves out: the page, itself, and what HTTP's words can't describe."""
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,negative_data_rejection"
)
CONFIG = """
[parameters]
"path.instrument" = "ETH-PERPETUAL"

[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]
"""
"""A name that there is, so that requests get past the first check; 503 is for max_age_ms."""


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(json.loads(json.dumps(document()))).validate()


def test_every_path_is_in_it(serving: RecordedServing) -> None:
    from aiohttp import web

    application = web.Application()
    install(application, serving)
    routed = {route.resource.canonical for route in application.router.routes()}
    assert routed - NO_SCHEMA == {route.path for _, route in described()}
    assert set(document()["paths"]) == routed - NO_SCHEMA


ADDED = """
from aiohttp import web

from app.api.query import IntegerParameter
from app.api.routing import Query, Route, View
from models.answers import LiveAnswer

N = IntegerParameter("n", "A number.", low=1, high=9)


class Added(View):
    @Route("/v1/added", "What a new file serves.", LiveAnswer, (N,))
    async def added(self, request: web.Request, query: Query) -> web.Response:
        return web.json_response(N.of(query))
"""


async def test_a_new_file_is_all_that_a_route_needs(
    serving: RecordedServing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, http: ClientSession
) -> None:
    (tmp_path / "added.py").write_text(ADDED)
    monkeypatch.setattr(routes, "__path__", [*routes.__path__, str(tmp_path)])
    views.cache_clear()
    try:
        described = document()["paths"]["/v1/added"]["get"]
        async with served(serving) as url, http.get(f"{url}/v1/added?n=7") as answer:
            assert await answer.json() == 7
        async with served(serving) as url, http.get(f"{url}/v1/added?m=7") as answer:
            assert answer.status == 400
    finally:
        views.cache_clear()
        sys.modules.pop("app.api.routes.added", None)
    assert described["operationId"] == "added"
    assert [each["name"] for each in described["parameters"]] == ["n"]


def test_names_of_operations_are_unique() -> None:
    names = [name for name, _ in described()]
    assert len(set(names)) == len(names)


async def test_it_is_served_and_cached(http: ClientSession, url: str) -> None:
    async with http.get(f"{url}/openapi.json") as answer:
        assert await answer.json() == json.loads(json.dumps(document()))
        tag = answer.headers["ETag"]
    async with http.get(f"{url}/openapi.json", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 304


@pytest.mark.timeout(TIMEOUT_S + 40)
async def test_schemathesis_finds_no_answer_outside_it(
    serving: RecordedServing, tmp_path: Path
) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    limits = Limits(rates=Rates(per_s=1e6, burst=1_000_000))
    async with served(serving, limits=limits) as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
            *("--exclude-path", "/v1/stream", "--exclude-path", "/metrics"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES)),
            *("--seed", str(SEED), "--checks", CHECKS, "--no-color"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path)},
        )
        try:
            told, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    text = told.decode()
    assert process.returncode == 0, text[-6_000:]
    assert "Tested: 9" in text, text[-2_000:]
