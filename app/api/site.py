"""All views as one web application, with what guards them.

`install` puts them into a plain aiohttp application, so that they live in Faust's own web server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from app.api.authentication import Access
from app.api.forwarding import Owners
from app.api.middleware import Guard, add_headers
from app.api.openapi import Description
from app.api.peer_signatures import Peers
from app.api.push.hub import Hub
from app.api.push.sse import Stream
from app.api.push.websocket import Socket
from app.api.rate_limit import Rates
from app.api.routes.books import Books
from app.api.routes.health import Health
from app.api.routes.imbalance import Imbalance
from app.api.routes.instruments import Instruments
from app.api.routes.metrics import Exposition
from app.api.routes.page import Page
from app.api.routes.quality import Quality
from app.api.routes.windows import Windows
from app.monitoring.metrics import Metrics
from app.state.read_model import Serving

MAX_STREAMS: Final = 1_000
"""Clients of /v1/stream and /v1/ws together."""


@dataclass(slots=True)
class Limits:
    """Who may ask, how often, and how many may follow."""

    access: Access = field(default_factory=Access)
    rates: Rates = field(default_factory=Rates)
    max_streams: int = MAX_STREAMS


def install(
    application: web.Application,
    serving: Serving,
    limits: Limits | None = None,
    metrics: Metrics | None = None,
) -> Hub:
    """Add all views to an application; return the hub, for those who feed it."""
    limits, metrics = limits or Limits(), metrics or Metrics()
    hub = Hub(serving, limits.max_streams, metrics.latency["pushed"].observe)
    peers = Peers(serving.secret, limits.access.token)
    guard = Guard(limits.access, limits.rates, peers)

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await guard.answer(request, handler)

    async def close(_: web.Application) -> None:
        await hub.close()

    application.middlewares.append(guarded)
    application.on_response_prepare.append(add_headers)
    application.on_shutdown.append(close)
    application.add_routes(routes(serving, hub, metrics, Owners(serving, peers)))
    return hub


def routes(serving: Serving, hub: Hub, metrics: Metrics, owners: Owners) -> list[web.RouteDef]:
    """Return what is served; raise UserError if the page's files are not there."""
    imbalance, health, page = Imbalance(serving), Health(serving), Page()
    return [
        web.get("/v1/instruments", Instruments(serving).listing),
        web.get("/v1/imbalance", imbalance.listing),
        web.get("/v1/imbalance/{instrument}", imbalance.single),
        web.get("/v1/books/{instrument}", Books(serving, owners).single),
        web.get("/v1/windows/{instrument}", Windows(serving, owners).single),
        web.get("/v1/quality", Quality(serving).listing),
        web.get("/v1/stream", Stream(hub).follow),
        web.get("/v1/ws", Socket(hub).follow, allow_head=False),
        web.get("/livez", health.live),
        web.get("/readyz", health.ready),
        web.get("/startupz", health.started),
        web.get("/metrics", Exposition(metrics.expose).all),
        web.get("/openapi.json", Description().document),
        web.get("/", page.index),
        web.get("/static/{path:.+}", page.static),
    ]
