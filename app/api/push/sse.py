"""`/v1/stream`: states and windows as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import Final

from aiohttp import web

from app.api.problems import Problem
from app.api.push.conflation import Interest
from app.api.push.hub import Closed, Full, Hub
from app.api.push.subscriptions import flag, interest_of, listed
from app.api.query import Parameter
from app.api.routing import Query, Route, View
from app.api.rows import INSTRUMENTS

log = logging.getLogger("steelyard.push")

CONTENT_TYPE: Final = "text/event-stream"
PARAMETERS: Final = (
    INSTRUMENTS,
    Parameter("states", "Send the current states.", type="string", enum=["true", "false"]),
    Parameter("lengths", "Send closed windows of these lengths, comma separated.", type="string"),
)
SLOW_TIMEOUT_S: Final = 30.0
"""A client that takes nothing for so long is disconnected."""
SEND_BUFFER_BYTES: Final = 128 * 1024
"""Limit of a socket's send buffer: what is in it cannot be replaced by newer states."""
RETRY: Final = b"retry: 1000\n\n"
LAST_ID: Final = "Last-Event-ID"


class Stream(View):
    """The server-sent events of a hub."""

    @Route(
        "/v1/stream",
        "States and windows as server-sent events; each event's data is one of the schemas "
        "StatesEvent, WindowsEvent, HeartbeatEvent, EndEvent. /v1/ws has the same as a "
        "WebSocket.",
        None,
        PARAMETERS,
        content_type=CONTENT_TYPE,
    )
    async def stream(self, request: web.Request, query: Query) -> web.StreamResponse:
        """Send what is asked for until the client or this worker ends."""
        names = query.get("instruments")
        lengths = query.get("lengths")
        wanted = interest_of(
            self.hub.serving,
            None if names is None else listed(names),
            () if lengths is None else listed(lengths),
            states=flag("states", query.get("states", "true")),
        )
        response = web.StreamResponse()
        response.content_type = CONTENT_TYPE
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Accel-Buffering"] = "no"  # nginx would collect what must come at once
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        await self._send(request, response, wanted)
        return response

    async def _send(
        self, request: web.Request, response: web.StreamResponse, wanted: Interest
    ) -> None:
        try:
            client = self.hub.join(wanted, request.headers.get(LAST_ID))
        except (Full, Closed) as error:
            raise no_room(self.hub, error) from error
        try:
            limit_buffers(request)
            await response.prepare(request)
            await response.write(RETRY)
            while True:
                owed = await client.next()
                async with asyncio.timeout(SLOW_TIMEOUT_S):
                    await response.write(owed.sse)
        except Closed:
            with contextlib.suppress(ConnectionError):
                await response.write(self.hub.last_words().sse)
        except TimeoutError:
            log.info("a stream's client took nothing for %.0f s: disconnected", SLOW_TIMEOUT_S)
            abort(request)
        except ConnectionError:
            pass  # the client has gone, which is how streams end
        finally:
            self.hub.leave(client)


def no_room(hub: Hub, error: Exception) -> Problem:
    """Return the problem of a client that is one too many, or too late."""
    if isinstance(error, Full):
        detail = f"{hub.max_clients} clients follow this worker already, which is its limit"
    else:
        detail = "this worker stops"
    return Problem(503, "no-room", f"{detail}; ask another one, or later", retry=True)


def limit_buffers(request: web.Request) -> None:
    """Keep what waits for a slow client small, in the process and in the kernel."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError
    transport.set_write_buffer_limits(high=SEND_BUFFER_BYTES // 2)
    plain = transport.get_extra_info("socket")
    if plain is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


def abort(request: web.Request) -> None:
    """Drop a connection with what waits in it: an orderly end would wait for the client too."""
    if request.transport is not None:
        request.transport.abort()
