"""Methods of the simulator itself, on the same socket; only when it was started with --control."""

from exchange.errors import NOT_FOUND, RpcError
from exchange.methods import Desk, Method
from exchange.params import Params
from exchange.session import Session

STATES = ("open", "locked", "halted", "inactive", "closed")


def disconnect_all(desk: Desk, session: Session, params: Params) -> int:
    """Cut every connection, the caller's after the answer; returns how many."""
    session.ends = True
    return 1 + desk.hub.cut_all(spared=session.subscriber)


def skip(desk: Desk, session: Session, params: Params) -> str:
    """The next `count` notifications of a channel vanish."""
    desk.hub.skip(params.text("channel"), params.integer("count", 1))
    return "ok"


def duplicate(desk: Desk, session: Session, params: Params) -> str:
    """The next `count` notifications of a channel are sent twice."""
    desk.hub.repeat(params.text("channel"), params.integer("count", 1))
    return "ok"


def inject(desk: Desk, session: Session, params: Params) -> int:
    """Send any text to the followers of a channel, or to all with null; returns how many."""
    return desk.hub.inject(params.optional_text("channel"), params.text("text"))


def set_state(desk: Desk, session: Session, params: Params) -> str:
    """Halt, close or open an instrument."""
    name = params.text("instrument_name")
    if desk.venue.state(name) is None:
        raise RpcError(NOT_FOUND, "not_found", {"param": "instrument_name"})
    desk.venue.set_state(name, params.choice("state", STATES))
    return "ok"


CONTROL_METHODS: dict[str, Method] = {
    "simulator/disconnect_all": disconnect_all,
    "simulator/skip": skip,
    "simulator/duplicate": duplicate,
    "simulator/inject": inject,
    "simulator/set_state": set_state,
}
