"""`/v1/quality`: how far each instrument's numbers can be trusted, and what went wrong so far."""

from __future__ import annotations

from collections import Counter
from typing import Final

from aiohttp import web

from app.api.envelope import answer, meta_of_rows, row_of
from app.api.routing import Query, Route, View
from app.api.rows import INSTRUMENTS, chosen, ordered, sort
from models.answers import QualityAnswer, QualityRow

FIELDS: Final = tuple(QualityRow.model_fields)


class Quality(View):
    """The quality of all instruments."""

    @Route(
        "/v1/quality", "How far each can be trusted.", QualityAnswer, (INSTRUMENTS, sort(FIELDS))
    )
    async def quality(self, request: web.Request, query: Query) -> web.Response:
        """Return status, age and counts of all instruments, or of those asked for, sorted."""
        serving, now_ms = self.serving, self.serving.now_ms()
        states = chosen(serving, query.get("instruments"))
        whole = [row_of(serving, state, now_ms) for state in states]
        rows = [{name: row[name] for name in FIELDS} for row in whole]
        rows = ordered(rows, query.get("sort", "instrument"), FIELDS)
        meta = meta_of_rows(serving, whole, now_ms)
        meta["statuses"] = dict(Counter(row["status"] for row in rows))
        return answer(rows, meta)
