"""`/livez`, `/readyz`, `/startupz`: the loop answers; the worker does its work; it has begun to."""

from __future__ import annotations

from aiohttp import web

from app.api.envelope import JSON_TYPE, encode
from app.api.problems import Problem
from app.api.routing import Query, Route, View
from app.state.read_model import Readiness
from models.answers import LiveAnswer, ReadyAnswer


class Health(View):
    """What a supervisor asks (live: else restart) and a load balancer (ready: else elsewhere).

    Trouble of Kafka or of the venue is no reason to restart a worker: `/livez` asks neither.
    """

    _has_started = False

    @Route("/livez", "200 if the loop turns.", LiveAnswer)
    async def live(self, request: web.Request, query: Query) -> web.Response:
        """Return 200 if the loop that processes is the one that answers, and is not blocked."""
        return _answer({"worker": self.serving.worker, "now_ms": self.serving.now_ms()})

    @Route("/readyz", "200 if the worker does its work.", ReadyAnswer)
    async def ready(self, request: web.Request, query: Query) -> web.Response:
        """Return 200, or 503 with the reasons why this worker does not do its work.

        What does not keep it from its work, such as a stale feed, is a reason for `degraded`.
        """
        return self._of(self._ready())

    @Route("/startupz", "200 once it has been ready.", ReadyAnswer)
    async def started(self, request: web.Request, query: Query) -> web.Response:
        """Return 200 once the worker has been ready: from then on its liveness is to be watched."""
        if self._has_started:
            return self._of(self.serving.readiness())
        return self._of(self._ready())

    def _ready(self) -> Readiness:
        """Return the readiness; raise a 503 problem if the worker is not ready."""
        readiness = self.serving.readiness()
        if not readiness.ready:
            raise Problem(
                503,
                "not-ready",
                "; ".join(readiness.reasons) or "not ready",
                retry=True,
                reasons=readiness.reasons,
                details=readiness.details,
            )
        self._has_started = True
        return readiness

    def _of(self, readiness: Readiness) -> web.Response:
        reasons = readiness.reasons + readiness.degraded
        if not readiness.ready:
            status = "recovering"
        else:
            status = "degraded" if readiness.degraded else "ready"
        return _answer(
            {
                "worker": self.serving.worker,
                "status": status,
                "reasons": reasons,
                "details": readiness.details,
            }
        )


def _answer(data: object) -> web.Response:
    response = web.Response(body=encode({"ok": True, "data": data}), content_type=JSON_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return response
