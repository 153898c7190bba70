"""`/v1/instruments`: what is ingested, in which unit, and how it stands."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from app.api.envelope import answer, meta_of_rows
from app.api.query import known_states
from app.api.routing import Query, Route, View
from app.durations import format_span
from app.state.live_state import size_unit_of
from models.answers import InstrumentsAnswer
from models.live import LiveState


class Instruments(View):
    """All instruments, by name."""

    @Route("/v1/instruments", "What is ingested.", InstrumentsAnswer, ())
    async def instruments(self, request: web.Request, query: Query) -> web.Response:
        """Return every instrument that is known to any worker."""
        serving, now_ms = self.serving, self.serving.now_ms()
        rows = [self._row(state) for _, state in sorted(known_states(serving).items())]
        meta = meta_of_rows(serving, rows, now_ms)
        meta["lengths_ms"] = serving.lengths_ms
        meta["hopping"] = [format_span(span) for span in serving.hopping]
        return answer(rows, meta)

    def _row(self, state: LiveState) -> dict[str, Any]:
        name = state.instrument
        linear, size_unit = size_unit_of(state)
        return {
            "instrument": name,
            "channel": state.channel,
            "linear": linear,
            "size_unit": size_unit,
            "status": self.serving.status_of(state),
            "age_ms": self.serving.age_ms(state),
            "simulated": state.simulated,
            "worker": state.worker,
            "partition": state.partition,
            "gaps": state.gaps,
            "refused": state.refused,
        }
