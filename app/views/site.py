"""All views as one web application, with what guards them.

`install` puts them into a plain aiohttp application, so that they live in Faust's own web server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from app.metrics import Metrics
from app.push.hub import Hub
from app.push.stream import Stream
from app.push.websocket import Socket
from app.serving import Serving
from app.views.access import Access
from app.views.books import Books
from app.views.exposition import Exposition
from app.views.guard import Guard, add_headers
from app.views.health import Health
from app.views.imbalance import Imbalance
from app.views.instruments import Instruments
from app.views.openapi import Description
from app.views.owners import Owners
from app.views.page import Page
from app.views.peers import Peers
from app.views.quality import Quality
from app.views.rates import Rates
from app.views.windows import Windows

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
