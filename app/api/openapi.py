"""The OpenAPI 3.1 document, from the routes and the models that answers are checked by."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.problems import PROBLEM_TYPE
from app.api.query import Parameter
from app.api.routing import INSTRUMENT, Route, described
from app.version import VERSION
from models import answers as models
from orderbook.instrument_names import EXACTLY_A_NAME

REFERENCE: Final = "#/components/schemas/{model}"
NAME: Final = {"type": "string", "pattern": EXACTLY_A_NAME}
IN_PATH: Final[Any] = {"name": INSTRUMENT, "in": "path", "required": True, "schema": NAME}
PROBLEMS: Final = {
    400: "what was asked for is not understood",
    401: "the token is missing or wrong",
    403: "a page of another site asks",
    404: "there is no such instrument",
    405: "only GET and HEAD",
    410: "of the span that was asked for no window is kept",
    413: "a body was sent",
    414: "the URL is too long",
    421: "asked by a name that is not this machine's",
    429: "asked too often",
    500: "a fault of the server",
    503: "not now: the worker is starting, the owner is away, or it is older than max_age_ms",
}
ALWAYS: Final = (400, 401, 403, 405, 413, 414, 421, 429, 500, 503)
EVENTS: Final = (
    models.StatesEvent,
    models.WindowsEvent,
    models.HeartbeatEvent,
    models.EndEvent,
)


def document() -> dict[str, Any]:
    """Return what is served, as OpenAPI 3.1."""
    routes = described()
    used = [route.answer for _, route in routes if route.answer is not None]
    wanted: list[type[BaseModel]] = [*used, *EVENTS, models.Problem]
    references, schemas = models_json_schema(
        [(model, "serialization") for model in wanted], ref_template=REFERENCE
    )
    refs = {model: references[model, "serialization"] for model in wanted}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Steelyard",
            "version": VERSION,
            "description": "Order-book and order-flow imbalance of Deribit's perpetuals. "
            "docs/api.md says how to use it, docs/measures.md what each number means.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{}, {"bearer": []}, {"basic": []}],
        "paths": {route.path: {"get": _operation(name, route, refs)} for name, route in routes},
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _operation(name: str, route: Route, refs: dict[type[BaseModel], Any]) -> dict[str, Any]:
    schema = refs[route.answer] if route.answer is not None else {"type": "string"}
    answers: dict[str, Any] = {
        "200": {
            "description": "The answer.",
            "content": {route.content_type: {"schema": schema}},
        }
    }
    if route.has_etag:
        answers["304"] = {"description": "As the client has it (If-None-Match)."}
    parameters = [IN_PATH] if route.names_instrument else []
    parameters += map(_parameter, route.parameters or ())
    takes_names = any(INSTRUMENT in each["name"] for each in parameters)
    more = ((404,) if takes_names else ()) + route.problems
    for status in (*ALWAYS, *more):
        answers[str(status)] = {
            "description": PROBLEMS[status].capitalize() + ".",
            "content": {PROBLEM_TYPE: {"schema": refs[models.Problem]}},
        }
    return {
        "operationId": name,
        "summary": route.summary,
        "parameters": parameters,
        "responses": dict(sorted(answers.items())),
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "required": False,
        "schema": parameter.schema,
    }
