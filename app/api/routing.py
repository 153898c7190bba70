"""A route of the API, written once: `site` serves from it, `openapi` describes from it.

It decorates a method of a `View` in a module of `app.api.routes` or `app.api.push`; `views` finds
all that are there. So a route is added in one file.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel

from app.api import push, routes
from app.api.envelope import JSON_TYPE
from app.api.forwarding import Owners
from app.api.push.hub import Hub
from app.api.query import Parameter, instrument_name, parameters
from app.monitoring.metrics import Metrics
from app.state.read_model import Serving

INSTRUMENT: Final = "instrument"
Query = dict[str, str]
"""The parameters that were given, all of them known; and `instrument`, if the path names one."""
Method = TypeVar("Method", bound=Callable[..., Awaitable[web.StreamResponse]])


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of a worker that views read."""

    serving: Serving
    owners: Owners
    hub: Hub
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Route:
    """A path that is served by GET and HEAD; it decorates the method of a view that answers.

    The method gets the request and the query, already checked. Its name is the operation's.
    """

    path: str
    summary: str = ""
    """Empty: the OpenAPI document leaves the route out."""
    answer: type[BaseModel] | None = None
    """None: not JSON, but `content_type`."""
    parameters: tuple[Parameter, ...] | None = None
    """Those that are accepted; None: whatever is given is ignored."""
    content_type: str = JSON_TYPE
    has_etag: bool = False
    problems: tuple[int, ...] = ()
    """Statuses that only this path answers."""
    allow_head: bool = True

    def __call__(self, method: Method) -> Method:
        """Note the route at the method."""
        vars(method)["route"] = self
        return method

    @property
    def names_instrument(self) -> bool:
        """Whether the path has the name of an instrument."""
        return f"{{{INSTRUMENT}}}" in self.path

    def query(self, request: web.Request) -> Query:
        """Return what a request asks for; raise a 400 problem if that is not allowed here."""
        asked = {INSTRUMENT: instrument_name(request)} if self.names_instrument else {}
        if self.parameters is not None:
            asked |= parameters(request, [each.name for each in self.parameters])
        return asked


class View:
    """A group of routes with what they read; one is made for every web application."""

    def __init__(self, services: Services) -> None:
        self.serving = services.serving
        self.owners = services.owners
        self.hub = services.hub
        self.measured = services.metrics

    @classmethod
    def routes(cls) -> list[tuple[str, Route]]:
        """Return the routes with the names of their methods."""
        return [(name, it.route) for name, it in vars(cls).items() if hasattr(it, "route")]

    def served(self) -> list[web.RouteDef]:
        """Return the routes for aiohttp."""
        return [self._served(route, getattr(self, name)) for name, route in self.routes()]

    def _served(self, route: Route, method: Method) -> web.RouteDef:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await method(request, route.query(request))

        return web.get(route.path, handle, allow_head=route.allow_head)


@lru_cache(maxsize=1)
def views() -> tuple[type[View], ...]:
    """Return the views of all modules in `app.api.routes` and `app.api.push`."""
    names = [
        name
        for package in (routes, push)
        for _, name, _ in iter_modules(package.__path__, package.__name__ + ".")
    ]
    return tuple(
        value
        for name in names
        for value in vars(import_module(name)).values()
        if isinstance(value, type) and issubclass(value, View) and value.__module__ == name
    )


def described() -> list[tuple[str, Route]]:
    """Return the operations that the OpenAPI document describes, by path."""
    found = (each for view in views() for each in view.routes() if each[1].summary)
    return sorted(found, key=lambda each: each[1].path)
