"""`/livez` and `/readyz`: the loop answers; and the worker does its work."""

from __future__ import annotations

from aiohttp import web

from app.serving import Serving
from app.views.envelope import JSON_TYPE, encode
from app.views.problems import Problem


class Health:
    """What a supervisor asks (live: else restart) and a load balancer (ready: else elsewhere)."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving

    async def live(self, request: web.Request) -> web.Response:
        """Return 200 if the loop that processes is the one that answers, and is not blocked."""
        return _answer({"worker": self.serving.worker, "now_ms": self.serving.now_ms()})

    async def ready(self, request: web.Request) -> web.Response:
        """Return 200, or 503 with the reasons why this worker does not do its work."""
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
        return _answer(
            {
                "worker": self.serving.worker,
                "reasons": readiness.reasons,
                "details": readiness.details,
            }
        )


def _answer(data: object) -> web.Response:
    response = web.Response(body=encode({"ok": True, "data": data}), content_type=JSON_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return response
