"""The web server around the views: limits of connections and headers, errors of HTTP itself.

aiohttp's own server has no limit of connections, waits an hour for a request to become whole, and
answers what is no HTTP in plain text.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from app.api.middleware import HEADERS
from app.api.problems import Problem, problem_response, shown

MAX_HEADER_BYTES: Final = 8 * 1024
"""Limit of one header, and of the request line."""
MAX_HEADERS: Final = 64
REQUEST_TIMEOUT_S: Final = 10.0
"""A connection whose next request is not whole after this is closed, be it idle or slow."""
CONTINUE: Final = "100-continue"
LINGER_S: Final = 1.0
"""How long to keep reading a rejected request body so that the client receives the error."""
SHUTDOWN_TIMEOUT_S: Final = 1.0
SPARE_CONNECTIONS: Final = 1_000
"""Beside those of the streams."""

log = logging.getLogger("steelyard.views")


class Protocol(RequestHandler):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve the connection, unless there are too many."""
        super().connection_made(transport)
        assert isinstance(self._manager, LimitedServer)
        if len(self._manager.connections) > self._manager.max_connections:
            # Without an answer: who opens thousands of connections would not read it.
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return a problem for what is no HTTP, or for a fault that no handler has answered."""
        if isinstance(exc, HttpProcessingError) and status < 500:
            detail = shown((message or exc.message or "it cannot be read").splitlines()[0])
            problem = Problem(status, "not-http", f"the request is no HTTP: {detail}")
        else:
            log.error("the server failed at a request", exc_info=exc)
            problem = Problem(status, "fault", "the server failed at this request")
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already: the connection ends")
        response = problem_response(problem, "")
        response.headers.update(HEADERS)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Log what ended a connection."""
        log.error("a connection failed: %s", *args, exc_info=kwargs.get("exc_info"))


class LimitedServer(Server):
    """Makes the connections."""

    max_connections = SPARE_CONNECTIONS

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        return Protocol(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp's runner, with the limits."""

    def __init__(self, application: web.Application, max_streams: int = 0) -> None:
        super().__init__(
            application,
            access_log=None,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            keepalive_timeout=REQUEST_TIMEOUT_S,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            lingering_time=LINGER_S,
            # No request has a body that is read: what it claims to be packed with is not unpacked.
            auto_decompress=False,
        )
        self._max_connections = max_streams + SPARE_CONNECTIONS

    async def _make_server(self) -> Server:
        made = await super()._make_server()
        handle = made.request_handler

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            """Refuse an expectation before aiohttp does, which does it with plain text."""
            if request.headers.get("Expect", CONTINUE).lower() == CONTINUE:
                return await handle(request)
            detail = "no expectation is met but 100-continue"
            response = problem_response(Problem(417, "expectation-failed", detail), "")
            response.headers.update(HEADERS)
            return response

        server = LimitedServer(
            answer,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
        server.max_connections = self._max_connections
        return server
