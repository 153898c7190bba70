"""JSON-RPC 2.0 as Deribit speaks it: one request in, the reply and what follows it out. No I/O.

protocol = Protocol(venue, hub, config)
for message in protocol.answer(session, text): connection.send(message)
"""

import json
import time
from typing import NoReturn, cast

from exchange.auth import Credentials
from exchange.config import Config
from exchange.control import CONTROL_METHODS
from exchange.errors import BAD_REQUEST, INVALID_REQUEST, METHOD_NOT_FOUND, RpcError
from exchange.hub import Hub
from exchange.methods import PUBLIC_METHODS, Desk, Method
from exchange.numbers import encode
from exchange.params import Params
from exchange.session import Session
from exchange.venue import Venue

MAX_REQUEST_BYTES = 32_768


class Protocol:
    """Answers the requests of all connections of a venue."""

    def __init__(self, venue: Venue, hub: Hub, config: Config) -> None:
        self._testnet = "true" if config.testnet else "false"
        credentials = Credentials(config.client_id, config.client_secret)
        self._desk = Desk(venue, hub, credentials, config)
        self._methods: dict[str, Method] = dict(PUBLIC_METHODS)
        if config.control:
            self._methods |= CONTROL_METHODS

    def answer(self, session: Session, text: bytes) -> list[str]:
        """The reply, then the first messages of channels that the request subscribed to."""
        begin_us = self._desk.venue.now_us()
        begin = time.perf_counter_ns()
        request_id: object = None
        try:
            request = _parse(text)
            request_id = request.get("id")
            result = self._call(session, request)
            outcome = f'"result":{encode(result)}'
        except RpcError as error:
            outcome = f'"error":{encode(error.fields())}'
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
            raise RpcError(INVALID_REQUEST, "Invalid Request", {"param": "method"})
        params = request.get("params", {})
        if not isinstance(params, dict):
            raise RpcError(INVALID_REQUEST, "Invalid Request", {"param": "params"})
        method = self._methods.get(name)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        return method(self._desk, session, Params(cast(dict[str, object], params)))


def _parse(text: bytes) -> dict[str, object]:
    if len(text) > MAX_REQUEST_BYTES:
        raise RpcError(INVALID_REQUEST, "request entity too large")
    try:
        request = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # bad JSON and bad UTF-8 are ValueErrors
        raise RpcError(BAD_REQUEST, "bad_request", "invalid json") from error
    if not isinstance(request, dict):
        raise RpcError(INVALID_REQUEST, "Invalid Request")
    return request


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
