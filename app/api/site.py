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
from app.api.peer_signatures import Peers
from app.api.push.hub import Hub
from app.api.rate_limit import Rates
from app.api.routing import Services, views
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
    """Add all views to an application; return the hub, for those who feed it.

    Raises UserError if the files of the page are missing.
    """
    limits, metrics = limits or Limits(), metrics or Metrics()
    hub = Hub(serving, limits.max_streams, metrics.latency["pushed"].observe)
    peers = Peers(serving.secret, limits.access.token)
    guard = Guard(limits.access, limits.rates, peers)
    services = Services(serving, Owners(serving, peers), hub, metrics)

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await guard.answer(request, handler)

    async def close(_: web.Application) -> None:
        await hub.close()

    application.middlewares.append(guarded)
    application.on_response_prepare.append(add_headers)
    application.on_shutdown.append(close)
    for view in views():
        application.add_routes(view(services).served())
    return hub
