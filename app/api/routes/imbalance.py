"""`/v1/imbalance`: the current state of all instruments, or of one. Every worker knows them all."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from app.api.envelope import answer, meta_of, meta_of_rows, row_of
from app.api.etags import etag, not_modified
from app.api.max_age import MAX_AGE, check_age
from app.api.query import known_states, state_of
from app.api.routing import INSTRUMENT, Query, Route, View
from app.api.rows import INSTRUMENTS, chosen, ordered, sort
from models.answers import ImbalanceAnswer, ImbalancesAnswer
from models.live import LiveState

SORT_FIELDS: Final = ("age_ms", "heard_ms", *LiveState.__struct_fields__)


class Imbalance(View):
    """The current states, from the table that is global."""

    @Route(
        "/v1/imbalance/{instrument}",
        "The current state of one.",
        ImbalanceAnswer,
        (MAX_AGE,),
        has_etag=True,
    )
    async def imbalance(self, request: web.Request, query: Query) -> web.Response:
        """Return the state of one instrument."""
        name = query[INSTRUMENT]
        serving, state = self.serving, state_of(known_states(self.serving), name)
        meta = meta_of(serving, state)
        check_age(query, [(name, meta)])
        tag = etag(meta, state.published_ms)
        data = row_of(serving, state, meta["as_of_ms"])
        return not_modified(request, tag) or answer(data, meta, tag)

    @Route(
        "/v1/imbalance",
        "The current state of all instruments.",
        ImbalancesAnswer,
        (INSTRUMENTS, sort(SORT_FIELDS), MAX_AGE),
    )
    async def imbalances(self, request: web.Request, query: Query) -> web.Response:
        """Return the states of all instruments, or of those asked for, sorted."""
        serving, now_ms = self.serving, self.serving.now_ms()
        states = chosen(serving, query.get("instruments"))
        rows = [row_of(serving, state, now_ms) for state in states]
        rows = ordered(rows, query.get("sort", "instrument"), SORT_FIELDS)
        check_age(query, ((row["instrument"], row) for row in rows))
        return answer(rows, meta_of_rows(serving, rows, now_ms))
