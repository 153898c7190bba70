"""`/v1/imbalance`: the current state of all instruments, or of one. Every worker knows them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from aiohttp import web

from app.serving import Serving
from app.views.caching import etag, not_modified
from app.views.envelope import answer, meta_of, meta_of_rows, row_of
from app.views.problems import bad_parameter, close_to, shown
from app.views.query import check_name, instrument_name, parameters, state_of
from models.live import LiveState

MAX_NAMES: Final = 500
SORT_FIELDS: Final = ("age_ms", *LiveState.__struct_fields__)


class Imbalance:
    """The current states, from the table that is global."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving

    async def single(self, request: web.Request) -> web.Response:
        """Return the state of one instrument."""
        name = instrument_name(request)
        parameters(request, ())
        serving, state = self.serving, state_of(self.serving.states(), name)
        meta = meta_of(serving, state)
        tag = etag(meta, state.published_ms)
        data = row_of(serving, state, meta["as_of_ms"])
        return not_modified(request, tag) or answer(data, meta, tag)

    async def listing(self, request: web.Request) -> web.Response:
        """Return the states of all instruments, or of those asked for, sorted."""
        query = parameters(request, ("instruments", "sort"))
        states = self._chosen(query.get("instruments"))
        serving, now_ms = self.serving, self.serving.now_ms()
        rows = [row_of(serving, state, now_ms) for state in states]
        rows = _sorted(rows, query.get("sort", "instrument"))
        return answer(rows, meta_of_rows(serving, rows, now_ms))

    def _chosen(self, names: str | None) -> Iterable[LiveState]:
        states = self.serving.states()
        if names is None:
            return states.values()
        chosen = list(dict.fromkeys(names.split(",")))
        if len(chosen) > MAX_NAMES:
            raise bad_parameter("instruments", f"{len(chosen)} names; {MAX_NAMES} are the limit")
        for name in chosen:
            check_name(name)
        return [state_of(states, name) for name in chosen]


def _sorted(rows: list[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    """Return the rows by a field, descending after a `-`; the unknown last, equals by name."""
    field = order.removeprefix("-")
    if field not in SORT_FIELDS:
        nearest = close_to(field, list(SORT_FIELDS))
        hint = f"did you mean {nearest[0]}?" if nearest else "take a field of the answer"
        raise bad_parameter("sort", f"{shown(order)} is no field, nor one after a -; {hint}")
    rows = sorted(rows, key=lambda fields: str(fields["instrument"]))
    known = [fields for fields in rows if fields[field] is not None]
    known.sort(key=lambda fields: fields[field], reverse=order.startswith("-"))
    return known + [fields for fields in rows if fields[field] is None]
