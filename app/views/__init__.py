"""The HTTP views: JSON for programs, the page for people, health for operators. They only read.

`routes` and `middlewares` are plain aiohttp, so that they live in Faust's own web server. Every
answer is one envelope, every error is problem+json, and any worker answers for any instrument.
"""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Middleware

from app.serving import Serving
from app.views.books import Books
from app.views.guard import guard
from app.views.health import Health
from app.views.imbalance import Imbalance
from app.views.instruments import Instruments
from app.views.page import Page
from app.views.windows import Windows


def routes(serving: Serving) -> list[web.RouteDef]:
    """Return what is served; raise UserError if the page's files are not there."""
    imbalance, health, page = Imbalance(serving), Health(serving), Page()
    return [
        web.get("/v1/instruments", Instruments(serving).listing),
        web.get("/v1/imbalance", imbalance.listing),
        web.get("/v1/imbalance/{instrument}", imbalance.single),
        web.get("/v1/books/{instrument}", Books(serving).single),
        web.get("/v1/windows/{instrument}", Windows(serving).single),
        web.get("/livez", health.live),
        web.get("/readyz", health.ready),
        web.get("/", page.index),
        web.get("/static/{path:.+}", page.static),
    ]


def middlewares() -> list[Middleware]:
    """Return what stands around every handler of the web server: limits, errors, headers."""
    return [guard]
