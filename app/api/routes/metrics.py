"""`/metrics`: what Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from app.monitoring.metrics import CONTENT_TYPE


class Exposition:
    """The metrics of this worker."""

    def __init__(self, expose: Callable[[], bytes]) -> None:
        self.expose = expose

    async def all(self, request: web.Request) -> web.Response:
        """Return every metric, in Prometheus's text format."""
        headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
        return web.Response(body=self.expose(), headers=headers)
