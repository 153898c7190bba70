"""`/metrics`: what Prometheus reads."""

from __future__ import annotations

from aiohttp import web

from app.api.routing import Query, Route, View
from app.monitoring.metrics import CONTENT_TYPE


class Exposition(View):
    """The metrics of this worker."""

    @Route("/metrics", "For Prometheus.", content_type="text/plain")
    async def metrics(self, request: web.Request, query: Query) -> web.Response:
        """Return every metric, in Prometheus's text format."""
        headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
        return web.Response(body=self.measured.expose(), headers=headers)
