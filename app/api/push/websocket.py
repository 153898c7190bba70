"""`/v1/ws`: states and windows over a WebSocket, with subscriptions that can be changed.

A client sends `{"op":"subscribe","instruments":[…],"lengths":["1s"],"states":true}`, the same with
`unsubscribe`, or `{"op":"ping"}`; each is answered. After a change of the subscriptions comes one
whole snapshot. Events are those of `/v1/stream`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from app.api.envelope import encode
from app.api.problems import Problem, problem_document
from app.api.push.conflation import ALL, STATES, Interest, interest
from app.api.push.hub import Client, Closed, Full, Hub
from app.api.push.sse import SLOW_TIMEOUT_S, abort, limit_buffers, no_room
from app.api.push.subscriptions import channels_of, interest_of
from app.api.query import known_states
from app.api.rate_limit import TokenBucket
from app.api.routing import Query, Route, View

log = logging.getLogger("steelyard.push")

MAX_MESSAGE_BYTES: Final = 32 * 1024
"""500 names take 20 kB."""
PING_EVERY_S: Final = 15.0
CLOSE_TIMEOUT_S: Final = 1.0
COMMANDS_PER_S: Final = 5.0
COMMANDS_BURST: Final = 20
MAX_REASON_BYTES: Final = 123
"""Limit of the reason in a close frame, by RFC 6455."""
MAX_INTEREST: Final = 5_000
"""Subscriptions of one connection: 500 instruments, each with ten channels."""


class Command(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends."""

    op: str
    id: int | str | None = None
    """Comes back in the answer."""
    instruments: list[str] | None = None
    lengths: list[str] = []
    states: bool = True


_decoder = msgspec.json.Decoder(Command)


class Socket(View):
    """The WebSockets of a hub."""

    @Route("/v1/ws", allow_head=False)
    async def follow(self, request: web.Request, query: Query) -> web.StreamResponse:
        """Serve one connection until either side closes it."""
        ws = web.WebSocketResponse(
            heartbeat=PING_EVERY_S,
            max_msg_size=MAX_MESSAGE_BYTES,
            compress=False,
            timeout=CLOSE_TIMEOUT_S,
        )
        if not ws.can_prepare(request).ok:
            raise Problem(426, "upgrade-required", "this path speaks WebSocket only: ws://…/v1/ws")
        try:
            known_states(self.hub.serving)
            client = self.hub.join(frozenset())
        except (Full, Closed, Problem) as error:
            problem = error if isinstance(error, Problem) else no_room(self.hub, error)
            await ws.prepare(request)
            reason = problem.detail.encode()[:MAX_REASON_BYTES]
            await ws.close(code=WSCloseCode.TRY_AGAIN_LATER, message=reason)
            return ws
        try:
            limit_buffers(request)
            await ws.prepare(request)
            await _Connection(self.hub, client, request, ws).run()
        except ConnectionError:
            pass  # the client has gone
        finally:
            self.hub.leave(client)
        return ws


class _Connection:
    """One WebSocket: a task that sends what is owed, beside the one that reads commands."""

    def __init__(
        self, hub: Hub, client: Client, request: web.Request, ws: web.WebSocketResponse
    ) -> None:
        self.hub = hub
        self.client = client
        self.request = request
        self.ws = ws
        self.commands = TokenBucket(COMMANDS_PER_S, COMMANDS_BURST)

    async def run(self) -> None:
        """Read commands until the connection ends."""
        sending = asyncio.create_task(self._send(), name="push to a websocket")
        try:
            now = asyncio.get_running_loop().time
            async for message in self.ws:
                if message.type is not WSMsgType.TEXT:
                    await self._close(WSCloseCode.UNSUPPORTED_DATA, "send JSON as text")
                    return
                if not self.commands.take(now()):
                    detail = f"more than {COMMANDS_PER_S:.0f} commands a second"
                    await self._close(WSCloseCode.POLICY_VIOLATION, detail)
                    return
                await self._write(self._answer(message.data))
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending

    async def _send(self) -> None:
        try:
            while True:
                for event in (await self.client.next()).events:
                    await self._write(event.data)
        except Closed:
            with contextlib.suppress(ConnectionError):
                for event in self.hub.last_words().events:
                    await self._write(event.data)
                await self._close(WSCloseCode.GOING_AWAY, "this worker stops")
        except TimeoutError:
            log.info("a websocket took nothing for %.0f s: disconnected", SLOW_TIMEOUT_S)
            abort(self.request)
        except ConnectionError:
            pass  # the reading task ends too

    async def _write(self, data: bytes) -> None:
        async with asyncio.timeout(SLOW_TIMEOUT_S):
            await self.ws.send_frame(data, WSMsgType.TEXT)

    async def _close(self, code: WSCloseCode, reason: str) -> None:
        await self.ws.close(code=code, message=reason.encode())

    def _answer(self, text: str) -> bytes:
        """Do what a command says; return the answer, which is an error if it can't be done."""
        command_id: Any = None
        try:
            try:
                command = _decoder.decode(text)
            except msgspec.MsgspecError as error:
                raise Problem(400, "bad-command", f"not a command: {error}") from error
            command_id = command.id
            if command.op != "ping":
                self._change(command)
        except Problem as problem:
            document = problem_document(problem, "/v1/ws")
            return encode({"type": "error", "id": command_id, "problem": document})
        if command.op == "ping":
            return encode({"type": "pong", "id": command_id})
        listed = sorted(f"{key.channel}.{key.instrument}" for key in self.client.wanted)
        return encode({"type": "subscribed", "id": command_id, "subscriptions": listed})

    def _change(self, command: Command) -> None:
        wanted: Interest = self.client.wanted
        if command.op == "subscribe":
            wanted |= interest_of(
                self.hub.serving, command.instruments, command.lengths, states=command.states
            )
        elif command.op == "unsubscribe":
            channels = channels_of(self.hub.serving, command.lengths)
            channels += [STATES] if command.states else []
            names = command.instruments
            if names is None:  # of every instrument, named or not
                wanted = frozenset(key for key in wanted if key.channel not in channels)
            else:
                unwanted = interest(channels, names)
                if missing := sorted(unwanted - wanted):
                    channel, name = missing[0]
                    hint = f" (but to {channel}.{ALL})" if (channel, ALL) in wanted else ""
                    detail = f"there is no subscription to {channel}.{name}{hint}"
                    raise Problem(400, "not-subscribed", detail)
                wanted -= unwanted
        else:
            detail = f"op {command.op!r} is not subscribe, unsubscribe or ping"
            raise Problem(400, "bad-command", detail)
        if len(wanted) > MAX_INTEREST:
            detail = f"{len(wanted)} subscriptions; {MAX_INTEREST} are the limit"
            raise Problem(400, "too-many-subscriptions", detail)
        if wanted != self.client.wanted:
            self.client.want(wanted)
