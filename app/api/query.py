"""What a request asks for: instrument names and query parameters, checked by allow-lists."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from aiohttp import web

from app.api.problems import SUGGESTIONS, Problem, bad_parameter, close_to, shown
from app.durations import format_span, parse_span, parse_time
from app.state.read_model import Serving
from models.live import LiveState
from orderbook.instrument_names import EXAMPLE, is_instrument_name
from orderbook.windows.span import Span, tumbling

INTEGER_PATTERN: Final = re.compile(r"[0-9]{1,16}")
COIN_END: Final = re.compile(r"[-_]")
LOST_PLUS: Final = re.compile(r" (?=\d\d:\d\d$)")
"""`+00:00` that was not escaped in a URL arrives with a space."""


class Parameter:
    """A query parameter: its name, and its description and schema in the OpenAPI document."""

    def __init__(self, name: str, description: str, **schema: Any) -> None:
        self.name = name
        self.description = description
        self.schema = schema


class IntegerParameter(Parameter):
    """A whole number within limits."""

    def __init__(
        self, name: str, description: str, low: int, high: int, default: int | None = None
    ) -> None:
        super().__init__(name, description, type="integer", minimum=low, maximum=high)
        self.limits = low, high
        self.default = default
        if default is not None:
            self.schema["default"] = default

    def of(self, query: Mapping[str, str]) -> int:
        """Return the value in a query, or the default; raise a 400 problem if it is not one."""
        return integer(self.name, query.get(self.name, str(self.default)), *self.limits)


def instrument_name(request: web.Request) -> str:
    """Return the instrument of the path; raise a 400 problem if it can't be a name."""
    name = request.match_info["instrument"]
    check_name(name)
    return name


def check_name(name: str) -> None:
    """Raise a 400 problem if this can't be the name of an instrument."""
    if not is_instrument_name(name):
        detail = f"{shown(name)} is no instrument name: {EXAMPLE}"
        raise Problem(400, "bad-instrument", detail)


def known_states(serving: Serving) -> dict[str, LiveState]:
    """Return the states of all instruments; raise a 503 problem if they are not read yet.

    A worker that has just started would else say that there are none, or only some of them.
    """
    if not serving.knows_states:
        why = "; ".join(serving.readiness().reasons) or "not ready"
        detail = f"this worker is starting and has not read the instruments yet: {why}"
        raise Problem(503, "not-ready", detail, retry=True)
    return serving.states()


def state_of(states: Mapping[str, LiveState], name: str) -> LiveState:
    """Return the state of an instrument; raise a 404 problem if it is not known."""
    state = states.get(name)
    if state is not None:
        return state
    if not states:
        detail = "no instrument is known yet: none has been ingested since the first start"
        raise Problem(503, "not-ready", detail, retry=True)
    suggestions = _suggestions(name, list(states))
    hint = f"; did you mean {suggestions[0]}?" if suggestions else "; see /v1/instruments"
    raise Problem(
        404, "unknown-instrument", f"no instrument {name}{hint}", did_you_mean=suggestions
    )


def _suggestions(name: str, known: list[str]) -> list[str]:
    """Return what a name may have meant: contracts of its coin first, then what looks alike."""
    coin = COIN_END.split(name)[0]
    same_coin = [other for other in known if COIN_END.split(other)[0] == coin]
    return list(dict.fromkeys(same_coin + close_to(name, known)))[:SUGGESTIONS]


def span_of(serving: Serving, name: str, text: str) -> Span:
    """Return which windows a text names, however it is written: `60s` is `1m`.

    Raises a 400 problem if there are none such.
    """
    have = (*tumbling(*serving.lengths_ms), *serving.hopping)
    span, is_none = None, ""
    try:
        span = parse_span(text)
    except ValueError:
        is_none = f"{shown(text)} is not a duration: "
    if span is None or span not in have:
        there_are = ", ".join(map(format_span, have))
        detail = f"{is_none}there are no windows of {shown(text)}; there are {there_are}"
        raise bad_parameter(name, detail)
    return span


def parameters(request: web.Request, known: Collection[str]) -> dict[str, str]:
    """Return the query; raise a 400 problem if a parameter is unknown or given twice."""
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in known:
            takes = f"this path takes {', '.join(known)}" if known else "this path takes none"
            detail = f"parameter {shown(name)} is not known; {takes}"
            suggestions = close_to(name, list(known))
            raise Problem(400, "unknown-parameter", detail, did_you_mean=suggestions)
        if name in given:
            raise bad_parameter(name, "is given twice")
        given[name] = value
    return given


def integer(name: str, text: str, low: int, high: int) -> int:
    """Return a whole number within limits; raise a 400 problem if it is not one."""
    if INTEGER_PATTERN.fullmatch(text) is None or not low <= int(text) <= high:
        raise bad_parameter(name, f"{shown(text)} is not a whole number from {low} to {high}")
    return int(text)


def time_ms(name: str, text: str) -> int:
    """Return an instant, ms since the epoch, given so or as RFC 3339 with an offset."""
    try:
        return parse_time(LOST_PLUS.sub("+", text))
    except ValueError:
        detail = f"{shown(text)} is neither ms since the epoch nor like 2026-01-31T12:00:00Z"
        raise bad_parameter(name, detail) from None
