"""Rows of all instruments: which of them are asked for, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from app.api.problems import bad_parameter, close_to, shown
from app.api.query import Parameter, check_name, known_states, state_of
from app.state.read_model import Serving
from models.live import LiveState
from orderbook.instrument_names import INSTRUMENT_NAME

MAX_NAMES: Final = 500
INSTRUMENTS: Final = Parameter(
    "instruments",
    f"Names, comma separated, at most {MAX_NAMES}; all if left out.",
    type="string",
    pattern=f"^{INSTRUMENT_NAME}(,{INSTRUMENT_NAME})*$",
)


def sort(fields: Iterable[str]) -> Parameter:
    """Return the parameter that orders rows by one of the fields."""
    text = "A field of the rows; after a - the greatest first. The unknown come last."
    orders = [sign + field for field in fields for sign in ("", "-")]
    return Parameter("sort", text, type="string", enum=orders)


def chosen(serving: Serving, names: str | None) -> Iterable[LiveState]:
    """Return the states of the instruments named, comma separated; of all for None."""
    states = known_states(serving)
    if names is None:
        return states.values()
    wanted = list(dict.fromkeys(names.split(",")))
    if len(wanted) > MAX_NAMES:
        raise bad_parameter("instruments", f"{len(wanted)} names; {MAX_NAMES} are the limit")
    for name in wanted:
        check_name(name)
    return [state_of(states, name) for name in wanted]


def ordered(
    rows: list[dict[str, Any]], order: str, fields: Collection[str]
) -> list[dict[str, Any]]:
    """Return the rows by a field, descending after a `-`; the unknown last, equals by name."""
    field = order.removeprefix("-")
    if field not in fields:
        nearest = close_to(field, list(fields))
        hint = f"did you mean {nearest[0]}?" if nearest else "take a field of the answer"
        raise bad_parameter("sort", f"{shown(order)} is no field, nor one after a -; {hint}")
    rows = sorted(rows, key=lambda row: str(row["instrument"]))
    known = [row for row in rows if row[field] is not None]
    known.sort(key=lambda row: row[field], reverse=order.startswith("-"))
    return known + [row for row in rows if row[field] is None]
