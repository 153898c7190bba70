"""`/openapi.json`: what is served, as OpenAPI 3.1, from the models that answers are checked by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.envelope import JSON_TYPE, encode
from app.api.etags import digest, not_modified
from app.api.max_age import LONGEST_MS, MAX_AGE
from app.api.problems import PROBLEM_TYPE
from app.api.query import MAX_TIME_MS
from app.api.routes.books import DEFAULT_DEPTH, MAX_DEPTH
from app.api.routes.imbalance import SORT_FIELDS as IMBALANCE_FIELDS
from app.api.routes.quality import FIELDS as QUALITY_FIELDS
from app.api.routes.windows import DEFAULT_LIMIT, MAX_LIMIT
from app.api.rows import MAX_NAMES
from app.version import VERSION
from models import answers as models
from orderbook.instrument_names import EXACTLY_A_NAME, INSTRUMENT_NAME

REFERENCE: Final = "#/components/schemas/{model}"
TEXT_TYPE: Final = "text/plain"
STREAM_TYPE: Final = "text/event-stream"
NAME: Final = {"type": "string", "pattern": EXACTLY_A_NAME}
SPAN_PATTERN: Final = "^[0-9]{1,9}(ms|s|m|h|d)(/[0-9]{1,9}(ms|s|m|h|d))?$"
TIME: Final = "ms since the epoch, or RFC 3339 with an offset"
TIME_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": MAX_TIME_MS},
        {"type": "string", "format": "date-time"},
    ]
}
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


@dataclass(frozen=True, slots=True)
class Operation:
    """A path that is served."""

    path: str
    name: str
    summary: str
    answer: type[BaseModel] | None
    """None: not JSON, but `content_type`."""
    parameters: tuple[dict[str, Any], ...] = ()
    content_type: str = JSON_TYPE
    has_etag: bool = False
    problems: tuple[int, ...] = ()
    """Statuses that only this path answers."""


def parameter(name: str, text: str, **schema: Any) -> dict[str, Any]:
    """Return the description of a query parameter."""
    return {
        "name": name,
        "in": "query",
        "description": text,
        "required": False,
        "schema": schema,
    }


def sort(fields: Iterable[str]) -> dict[str, Any]:
    """Return the description of the parameter that orders rows."""
    text = "A field of the rows; after a - the greatest first. The unknown come last."
    orders = [sign + field for field in fields for sign in ("", "-")]
    return parameter("sort", text, type="string", enum=orders)


INSTRUMENT: Final = {"name": "instrument", "in": "path", "required": True, "schema": NAME}
INSTRUMENTS: Final = parameter(
    "instruments",
    f"Names, comma separated, at most {MAX_NAMES}; all if left out.",
    type="string",
    pattern=f"^{INSTRUMENT_NAME}(,{INSTRUMENT_NAME})*$",
)
AGE: Final = parameter(
    MAX_AGE,
    "Answer 503 unless the numbers are live and at most so old.",
    type="integer",
    minimum=0,
    maximum=LONGEST_MS,
)
DEPTH: Final = parameter(
    "depth",
    "Levels of each side.",
    type="integer",
    minimum=1,
    maximum=MAX_DEPTH,
    default=DEFAULT_DEPTH,
)
WINDOW_PARAMETERS: Final = (
    parameter(
        "length",
        "Of the windows, such as 1s; the shortest if left out.",
        type="string",
        pattern=SPAN_PATTERN,
    ),
    parameter("from", f"The first start, {TIME}.", **TIME_SCHEMA),
    parameter("to", f"Every start is before this, {TIME}.", **TIME_SCHEMA),
    parameter(
        "limit", "Windows.", type="integer", minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT
    ),
    parameter("cursor", "next_cursor of the page before; instead of the span.", type="string"),
    AGE,
)
STREAM_PARAMETERS: Final = (
    INSTRUMENTS,
    parameter("states", "Send the current states.", type="string", enum=["true", "false"]),
    parameter("lengths", "Send closed windows of these lengths, comma separated.", type="string"),
)

OPERATIONS: Final = (
    Operation("/v1/instruments", "instruments", "What is ingested.", models.InstrumentsAnswer),
    Operation(
        "/v1/imbalance",
        "imbalances",
        "The current state of all instruments.",
        models.ImbalancesAnswer,
        (INSTRUMENTS, sort(IMBALANCE_FIELDS), AGE),
    ),
    Operation(
        "/v1/imbalance/{instrument}",
        "imbalance",
        "The current state of one.",
        models.ImbalanceAnswer,
        (INSTRUMENT, AGE),
        has_etag=True,
    ),
    Operation(
        "/v1/books/{instrument}",
        "book",
        "The levels of its book.",
        models.BookAnswer,
        (INSTRUMENT, DEPTH, AGE),
        has_etag=True,
    ),
    Operation(
        "/v1/windows/{instrument}",
        "windows",
        "Its closed windows, of a span.",
        models.WindowsAnswer,
        (INSTRUMENT, *WINDOW_PARAMETERS),
        problems=(410,),
    ),
    Operation(
        "/v1/quality",
        "quality",
        "How far each can be trusted.",
        models.QualityAnswer,
        (INSTRUMENTS, sort(QUALITY_FIELDS)),
    ),
    Operation(
        "/v1/stream",
        "stream",
        "States and windows as server-sent events; each event's data is one of the schemas "
        "StatesEvent, WindowsEvent, HeartbeatEvent, EndEvent. /v1/ws has the same as a WebSocket.",
        None,
        STREAM_PARAMETERS,
        content_type=STREAM_TYPE,
    ),
    Operation("/livez", "live", "200 if the loop turns.", models.LiveAnswer),
    Operation("/readyz", "ready", "200 if the worker does its work.", models.ReadyAnswer),
    Operation("/startupz", "started", "200 once it has been ready.", models.ReadyAnswer),
    Operation("/metrics", "metrics", "For Prometheus.", None, content_type=TEXT_TYPE),
)
EVENTS: Final = (
    models.StatesEvent,
    models.WindowsEvent,
    models.HeartbeatEvent,
    models.EndEvent,
)


@dataclass(slots=True)
class Description:
    """The document, made once."""

    body: bytes = field(default_factory=lambda: encode(document()))
    tag: str = ""

    def __post_init__(self) -> None:
        self.tag = f'"{digest(self.body)}"'

    async def document(self, request: web.Request) -> web.Response:
        """Return the document."""
        if (answer := not_modified(request, self.tag)) is not None:
            return answer
        response = web.Response(body=self.body, content_type=JSON_TYPE)
        response.headers.update({"ETag": self.tag, "Cache-Control": "no-cache"})
        return response


def document() -> dict[str, Any]:
    """Return what is served, as OpenAPI 3.1."""
    used = [each.answer for each in OPERATIONS if each.answer is not None]
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
        "paths": {each.path: {"get": _operation(each, refs)} for each in OPERATIONS},
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _operation(operation: Operation, refs: dict[type[BaseModel], Any]) -> dict[str, Any]:
    schema = refs[operation.answer] if operation.answer is not None else {"type": "string"}
    answers: dict[str, Any] = {
        "200": {
            "description": "The answer.",
            "content": {operation.content_type: {"schema": schema}},
        }
    }
    if operation.has_etag:
        answers["304"] = {"description": "As the client has it (If-None-Match)."}
    takes_names = any("instrument" in each["name"] for each in operation.parameters)
    more = ((404,) if takes_names else ()) + operation.problems
    for status in (*ALWAYS, *more):
        answers[str(status)] = {
            "description": PROBLEMS[status].capitalize() + ".",
            "content": {PROBLEM_TYPE: {"schema": refs[models.Problem]}},
        }
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": list(operation.parameters),
        "responses": dict(sorted(answers.items())),
    }
