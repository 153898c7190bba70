"""JSON-RPC 2.0 as Deribit speaks it: one request in, the reply and what follows it out. No I/O.

protocol = Protocol(target, config)
for message in protocol.answer(session, text): connection.send(message)
"""

import json
import time
from collections import deque
from typing import NamedTuple, NoReturn, cast

from exchange.auth import Credentials
from exchange.config import Config
from exchange.control import CONTROL_METHODS, PREFIX
from exchange.errors import (
    BAD_REQUEST,
    ENDS_SESSION,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    TOO_MANY_REQUESTS,
    RpcError,
)
from exchange.fault_target import FaultTarget
from exchange.methods import PUBLIC_METHODS, Context, Method
from exchange.numbers import encode
from exchange.params import Params
from exchange.session import Session

MAX_REQUEST_BYTES = 32_768
CALLS_KEPT = 100_000


class CallMade(NamedTuple):
    """A request and what came of it; `code` is 0 for a result, None if there was no answer."""

    at_s: float  # monotonic
    connection: int
    method: str
    channels: int
    code: int | None


class Protocol:
    """Answers the requests of all connections of a venue."""

    def __init__(self, target: FaultTarget, config: Config) -> None:
        self.calls: deque[CallMade] = deque(maxlen=CALLS_KEPT)
        self._testnet = "true" if config.testnet else "false"
        secret = config.client_secret
        credentials = Credentials(
            config.client_id,
            secret,
            config.token_lifetime_s,
            venue_ms=lambda: target.venue.now_us() // 1_000,
        )
        self._desk = Context(target, credentials, config)
        self._methods: dict[str, Method] = dict(PUBLIC_METHODS)
        if config.control:
            self._methods |= CONTROL_METHODS

    def answer(self, session: Session, text: bytes) -> list[str]:
        """The reply, then the first messages of channels that the request subscribed to.

        Nothing at all for a call that was ordered to stay without an answer.
        """
        begin_us = self._desk.venue.now_us()
        begin = time.perf_counter_ns()
        request: dict[str, object] = {}
        code: int | None = 0
        try:
            request = _parse(text)
            result = self._call(session, request)
            outcome = f'"result":{encode(result)}'
        except RpcError as error:
            code = error.code
            session.ends |= code in ENDS_SESSION
            outcome = f'"error":{encode(error.fields())}'
        except _NoAnswer:
            code, outcome = None, ""
        self._note(session, request, code)
        if code is None:
            return []
        request_id = request.get("id")
        spent_us = (time.perf_counter_ns() - begin) // 1_000
        shown_id = "" if request_id is None else f'"id":{json.dumps(request_id)},'
        openings, session.openings = session.openings, []
        reply = (
            f'{{"jsonrpc":"2.0",{shown_id}{outcome},"usIn":{begin_us},'
            f'"usOut":{begin_us + spent_us},"usDiff":{spent_us},"testnet":{self._testnet}}}'
        )
        return [reply, *openings]

    def _call(self, session: Session, request: dict[str, object]) -> object:
        name = request.get("method")
        if not isinstance(name, str):
            raise RpcError(INVALID_REQUEST, data={"param": "method"})
        if not name.startswith(PREFIX):
            self._meet_trouble(session, name)
        params = request.get("params", {})
        if not isinstance(params, dict):
            raise RpcError(INVALID_REQUEST, data={"param": "params"})
        method = self._methods.get(name)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND)
        return method(self._desk, session, Params(cast(dict[str, object], params)))

    def _meet_trouble(self, session: Session, name: str) -> None:
        """Let the call fail that was ordered to, and the one for which there is no credit."""
        ordered = self._desk.target.call_faults.of_call(name)
        if ordered is not None:
            if ordered.code is None:
                raise _NoAnswer
            raise RpcError(ordered.code)
        if self._desk.config.limits and not session.credits.pay(name, time.monotonic()):
            raise RpcError(TOO_MANY_REQUESTS)

    def _note(self, session: Session, request: dict[str, object], code: int | None) -> None:
        params = request.get("params")
        channels = params.get("channels") if isinstance(params, dict) else None
        count = len(channels) if isinstance(channels, list) else 0
        method = str(request.get("method", ""))
        self.calls.append(CallMade(time.monotonic(), session.number, method, count, code))


class _NoAnswer(Exception):
    """A call stays without an answer."""


def _parse(text: bytes) -> dict[str, object]:
    if len(text) > MAX_REQUEST_BYTES:
        raise RpcError(INVALID_REQUEST, "request entity too large")
    try:
        request = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # bad JSON and bad UTF-8 are ValueErrors
        raise RpcError(BAD_REQUEST, data="invalid json") from error
    if not isinstance(request, dict):
        raise RpcError(INVALID_REQUEST)
    return request


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
