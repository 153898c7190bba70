"""The envelope of every answer: `{ok, data, meta}`, and the only JSON encoder of the views.

What is not known is null. A number that is not finite is a fault of ours: encoding it raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from operator import attrgetter
from typing import Any, Final, get_args, get_type_hints

import msgspec
from aiohttp import web
from msgspec.structs import asdict

from app.state.read_model import Serving
from models.live import LiveState
from models.status import STATUSES

JSON_TYPE: Final = "application/json"

_ALWAYS_FINITE: Final = frozenset({str, int, bool, type(None)})
_SEQUENCES: Final = (list, tuple)

_encoder = msgspec.json.Encoder()

_numbers: Final = attrgetter(
    *(name for name, kind in get_type_hints(LiveState).items() if float in (kind, *get_args(kind)))
)
"""Returns what of a state could be not finite."""


def encode(value: Any) -> bytes:
    """Return UTF-8 JSON; raise ValueError if a number in it is NaN or infinite."""
    _check_finite(value)
    return _encoder.encode(value)


def _check_finite(value: Any, name: object = "the answer") -> None:
    # msgspec would write null, which means "not known" here and would hide the fault.
    if value.__class__ is float:
        if not isfinite(value):
            raise ValueError(f"{name}: {value} is not a JSON number")
    elif isinstance(value, dict):
        for key, item in value.items():
            if item.__class__ not in _ALWAYS_FINITE:
                _check_finite(item, key)
    elif isinstance(value, _SEQUENCES):
        for item in value:
            if item.__class__ not in _ALWAYS_FINITE:
                _check_finite(item, name)


def answer(data: Any, meta: Mapping[str, Any], etag: str | None = None) -> web.Response:
    """Return 200 with the envelope."""
    return answer_encoded(encode(data), meta, etag)


def answer_encoded(data: bytes, meta: Mapping[str, Any], etag: str | None = None) -> web.Response:
    """Return 200 with the envelope around data that are JSON already."""
    body = b'{"ok":true,"data":%b,"meta":%b}' % (data, encode(meta))
    response = web.Response(body=body, content_type=JSON_TYPE)
    response.headers["Cache-Control"] = "no-cache" if etag is not None else "no-store"
    if etag is not None:
        response.headers["ETag"] = etag
    return response


def badness(status: str) -> int:
    """Return the place of a status from the best on; a word of a later release is the worst."""
    return STATUSES.index(status) if status in STATUSES else len(STATUSES)


def row_of(serving: Serving, state: LiveState, now_ms: int) -> dict[str, Any]:
    """Return the state of an instrument as it is served: with the status and the age of now."""
    fields = asdict(state)
    fields["status"] = serving.status_of(state)
    fields["received_ms"] = state.received_ms or None
    fields["published_ms"] = state.published_ms or None
    fields["age_ms"] = age_ms = serving.age_ms(state)
    fields["heard_ms"] = None if age_ms is None else now_ms - age_ms
    return fields


def encode_row(serving: Serving, state: LiveState, now_ms: int) -> bytes:
    """Return `encode(row_of(…))`, four times as fast: hundreds of rows a second are pushed."""
    is_finite = isfinite(sum(filter(None, _numbers(state))))
    is_known = state.received_ms and state.published_ms
    age_ms = serving.age_ms(state)
    is_simple = is_finite and is_known and state.status == serving.status_of(state)
    if not is_simple or age_ms is None:
        return encode(row_of(serving, state, now_ms))
    tail = age_ms, now_ms - age_ms
    return b'%b,"age_ms":%d,"heard_ms":%d}' % (_encoder.encode(state)[:-1], *tail)


def meta_of(serving: Serving, state: LiveState, status: str | None = None) -> dict[str, Any]:
    """Return the quality of an answer about one instrument, given now."""
    now_ms = serving.now_ms()
    return {
        "as_of_ms": now_ms,
        "venue_ts_ms": state.venue_ts_ms,
        "change_id": state.change_id,
        "age_ms": serving.age_ms(state),
        "status": status or serving.status_of(state),
        "worker": serving.worker,
        "partition": state.partition,
        "simulated": state.simulated,
    }


def meta_of_rows(serving: Serving, rows: list[dict[str, Any]], now_ms: int) -> dict[str, Any]:
    """Return the quality of an answer about several instruments: the worst status and age."""
    return {
        "as_of_ms": now_ms,
        "venue_ts_ms": None,
        "change_id": None,
        "age_ms": max((age for row in rows if (age := row["age_ms"]) is not None), default=None),
        "status": max((row["status"] for row in rows), key=badness, default=STATUSES[-1]),
        "worker": serving.worker,
        "partition": None,
        "simulated": any(row["simulated"] for row in rows) if rows else serving.simulated,
    }
