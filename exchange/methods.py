"""The methods that the venue answers: functions of the context, the session and the parameters."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from exchange.auth import Credentials
from exchange.channels import CURRENCIES, KINDS, parse_channel
from exchange.config import SIMULATED_VERSION, Config
from exchange.errors import (
    AUTHORIZATION_REQUIRED,
    INVALID_PARAMS,
    NOT_FOUND,
    ORDERBOOK_CLOSED,
    RAW_NEEDS_LOGIN,
    UNAUTHORIZED,
    RpcError,
    invalid_param,
)
from exchange.fault_target import FaultTarget
from exchange.hub import Hub
from exchange.params import Params
from exchange.session import Session
from exchange.venue import Fields, Venue

MIN_HEARTBEAT_S = 10
MAX_CHANNELS = 500
DEPTHS = (1, 5, 10, 20, 50, 100, 1_000, 10_000)
DEFAULT_DEPTH = 5


@dataclass(frozen=True, slots=True)
class Context:
    """Gathers what a method can reach."""

    target: FaultTarget
    credentials: Credentials
    config: Config

    @property
    def venue(self) -> Venue:
        return self.target.venue

    @property
    def hub(self) -> Hub:
        return self.target.hub


Method = Callable[[Context, Session, Params], object]


def subscribe(context: Context, session: Session, params: Params) -> list[str]:
    """The channels that are followed now; unknown ones are missing, without a word.

    One raw channel without login refuses the whole call. A channel that is followed already is
    in the answer, but its state is not sent again. The order is not that of the request.
    """
    wanted = [parse_channel(name) for name in _channel_names(params)]
    may_have_all = context.config.open_raw or context.credentials.is_good(session.login)
    if not may_have_all and any(one.needs_login for one in wanted):
        raise RpcError(RAW_NEEDS_LOGIN)
    followed: list[str] = []
    for channel in reversed(wanted):
        if not context.venue.offers(channel):
            continue
        followed.append(channel.name)
        if channel.name in session.channels:
            continue
        opening = context.venue.opening(channel)
        if opening is not None:
            session.openings.append(opening)
        session.channels[channel.name] = None
        context.hub.subscribe(channel.name, session.subscriber)
    return followed


def unsubscribe(context: Context, session: Session, params: Params) -> list[str]:
    """The channels that this call ended."""
    ended = [name for name in reversed(_channel_names(params)) if name in session.channels]
    _unfollow(context, session, ended)
    return ended


def unsubscribe_all(context: Context, session: Session, params: Params) -> str:
    _unfollow(context, session, list(session.channels))
    return "ok"


def hello(context: Context, session: Session, params: Params) -> Fields:
    params.text("client_name")
    params.text("client_version")
    return {"version": SIMULATED_VERSION}


def test(context: Context, session: Session, params: Params) -> Fields:
    """Also the answer to a test_request."""
    session.answered()
    if params.text("expected_result", "") == "exception":
        raise RpcError(INVALID_PARAMS, data={"reason": "expected exception"})
    return {"version": SIMULATED_VERSION}


def get_time(context: Context, session: Session, params: Params) -> int:
    return context.venue.now_us() // 1_000


def status(context: Context, session: Session, params: Params) -> Fields:
    return {"locked": "true" if context.venue.platform.is_locked else "false", "locked_indices": []}


def get_instruments(context: Context, session: Session, params: Params) -> list[Fields]:
    currency = params.choice("currency", CURRENCIES)
    kind = params.choice("kind", KINDS, "any")
    found = (
        context.venue.delisted() if params.flag("expired", False) else context.venue.instruments()
    )
    return [
        fields
        for fields in found
        if kind in ("any", fields["kind"]) and currency in ("any", fields["settlement_currency"])
    ]


def get_order_book(context: Context, session: Session, params: Params) -> Fields:
    name = params.text("instrument_name")
    depth = params.integer("depth", DEFAULT_DEPTH)
    if depth not in DEPTHS:
        raise invalid_param("depth", f"value must be one of {', '.join(map(str, DEPTHS))}")
    state = context.venue.state(name)
    if state is None:
        raise RpcError(NOT_FOUND, data={"param": "instrument_name"})
    if state not in ("open", "locked", "halted"):
        raise RpcError(ORDERBOOK_CLOSED)
    return context.venue.order_book(name, depth)


def auth(context: Context, session: Session, params: Params) -> Fields:
    session.login, fields = context.credentials.login(params)
    return fields


def set_heartbeat(context: Context, session: Session, params: Params) -> str:
    interval_s = params.integer("interval")
    if interval_s < MIN_HEARTBEAT_S:
        raise invalid_param("interval", f"value must be >= {MIN_HEARTBEAT_S}")
    session.beat(float(interval_s), time.monotonic())
    return "ok"


def disable_heartbeat(context: Context, session: Session, params: Params) -> str:
    session.beat(None, time.monotonic())
    return "ok"


def _private(method: Method) -> Method:
    """The same method, for those who are logged in or bring a token; an expired one is 13009."""

    def checked(context: Context, session: Session, params: Params) -> object:
        token = params.optional_text("access_token")
        login = session.login
        if token is not None and (login is None or login.token != token):
            login = context.credentials.of_token(token)
        elif login is None:
            raise RpcError(AUTHORIZATION_REQUIRED)
        if not context.credentials.is_good(login):
            raise RpcError(UNAUTHORIZED, data={"reason": "invalid_token"})
        session.login = login
        return method(context, session, params)

    return checked


def _channel_names(params: Params) -> list[str]:
    names = list(dict.fromkeys(params.texts("channels")))
    if len(names) > MAX_CHANNELS:
        raise invalid_param("channels", f"at most {MAX_CHANNELS} channels in a call")
    return names


def _unfollow(context: Context, session: Session, names: list[str]) -> None:
    for name in names:
        del session.channels[name]
        context.hub.unsubscribe(name, session.subscriber)


PUBLIC_METHODS: dict[str, Method] = {
    "public/hello": hello,
    "public/test": test,
    "public/get_time": get_time,
    "public/status": status,
    "public/get_instruments": get_instruments,
    "public/get_order_book": get_order_book,
    "public/auth": auth,
    "public/set_heartbeat": set_heartbeat,
    "public/disable_heartbeat": disable_heartbeat,
    "public/subscribe": subscribe,
    "public/unsubscribe": unsubscribe,
    "public/unsubscribe_all": unsubscribe_all,
    "private/subscribe": _private(subscribe),
    "private/unsubscribe": _private(unsubscribe),
    "private/unsubscribe_all": _private(unsubscribe_all),
}
