"""`/v1/imbalance`: the current state of all instruments, or of one. Every worker knows them all."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from app.api.envelope import answer, meta_of, meta_of_rows, row_of
from app.api.etags import etag, not_modified
from app.api.max_age import MAX_AGE, check_age
from app.api.query import instrument_name, known_states, parameters, state_of
from app.api.rows import chosen, ordered
from app.state.read_model import Serving
from models.live import LiveState

SORT_FIELDS: Final = ("age_ms", "heard_ms", *LiveState.__struct_fields__)


class Imbalance:
    """The current states, from the table that is global."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving

    async def single(self, request: web.Request) -> web.Response:
        """Return the state of one instrument."""
        name = instrument_name(request)
        query = parameters(request, (MAX_AGE,))
        serving, state = self.serving, state_of(known_states(self.serving), name)
        meta = meta_of(serving, state)
        check_age(query, [(name, meta)])
        tag = etag(meta, state.published_ms)
        data = row_of(serving, state, meta["as_of_ms"])
        return not_modified(request, tag) or answer(data, meta, tag)

    async def listing(self, request: web.Request) -> web.Response:
        """Return the states of all instruments, or of those asked for, sorted."""
        query = parameters(request, ("instruments", "sort", MAX_AGE))
        serving, now_ms = self.serving, self.serving.now_ms()
        states = chosen(serving, query.get("instruments"))
        rows = [row_of(serving, state, now_ms) for state in states]
        rows = ordered(rows, query.get("sort", "instrument"), SORT_FIELDS)
        check_age(query, ((row["instrument"], row) for row in rows))
        return answer(rows, meta_of_rows(serving, rows, now_ms))
