"""The kinds of values that a window record has, and the shape of a table of its fields."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Gt, Le
from pydantic import StringConstraints

from orderbook.instrument_names import EXACTLY_A_NAME

Name = Annotated[str, StringConstraints(pattern=EXACTLY_A_NAME)]
Venue = Literal["deribit", "deribit-test", "simulated"]
WindowStatus = Literal["complete", "partial", "stale", "reconnect", "gap"]
Milliseconds = Annotated[int, Ge(0)]
Count = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
Amount = Annotated[float, Ge(0)]
Ratio = Annotated[float, Ge(-1), Le(1)]
Share = Annotated[float, Ge(0), Le(1)]


class Field(NamedTuple):
    """One row of a table; `N` in a name stands for 1, 5, 10 levels, `X` for 10, 25, 50 bp."""

    name: str
    type: Any
    """Of its JSON value, as an annotation; with None if it can be unknown."""
    unit: str
    value: str
    is_not: str = ""
    source: str = ""
    is_optional: bool = False
    """Only windows that overlap have it."""


class Group(NamedTuple):
    """Fields that belong together."""

    name: str
    fields: tuple[Field, ...]
