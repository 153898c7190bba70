"""Faults on command: each is read from parameters first, and made on their target then.

Reading raises RpcError for a parameter that is missing, wrong or unknown, so that a scenario is
checked as a whole before it begins. README.md has the table of them all.
"""

import asyncio
from collections.abc import Callable

from exchange.call_faults import ANY_METHOD, Ordered, Refusal
from exchange.corpus import MALFORMED, huge_message
from exchange.errors import (
    INVALID_PARAMS,
    MESSAGES,
    METHOD_NOT_FOUND,
    RpcError,
    invalid_param,
)
from exchange.fault_target import Action, FaultTarget, positive
from exchange.hub import CLOSE_TOO_SLOW, TOO_SLOW, Subscriber
from exchange.params import Params
from exchange.transit_faults import Mark
from exchange.venue_faults import delist, gap, list_instrument, maintenance, restart_ids, set_state

MAX_HUGE_MIB = 256
CLOSE_GOING_AWAY = 1001


def make(name: str, params: Params) -> Action:
    """The fault of that name with these parameters."""
    if name not in FAULTS:
        raise RpcError(METHOD_NOT_FOUND, data=f"there is no fault {name!r}")
    action = FAULTS[name](params)
    unknown = params.unread()
    if unknown:
        raise RpcError(INVALID_PARAMS, data={"param": unknown[0], "reason": "unknown"})
    return action


def _marking(mark: Mark) -> Callable[[Params], Action]:
    def read(params: Params) -> Action:
        channel, count = params.text("channel"), positive(params, "count", 1)

        def act(target: FaultTarget) -> str:
            target.hub.transit.mark(channel, mark, count)
            return "ok"

        return act

    return read


def delay(params: Params) -> Action:
    """The notifications of a channel wait for so long, and come all at once then."""
    channel, seconds = params.text("channel"), params.number("seconds")

    def act(target: FaultTarget) -> str:
        target.hub.transit.hold(channel)
        asyncio.get_running_loop().call_later(seconds, target.hub.release, channel)
        return "ok"

    return act


def mute(params: Params) -> Action:
    """No notification comes on any channel, though heartbeats do; for so long, or until calm."""
    seconds = params.number("seconds", 0.0)

    def act(target: FaultTarget) -> str:
        target.hub.transit.mute(True)
        if seconds:
            asyncio.get_running_loop().call_later(seconds, target.hub.transit.mute, False)
        return "ok"

    return act


def disconnect(params: Params) -> Action:
    """All connections end: cut (FIN), reset (at once), or closed with a handshake; how many."""
    how = params.choice("how", ("cut", "reset", "close"), "cut")
    code = params.integer("code", CLOSE_GOING_AWAY)
    reason = params.text("reason", "going away")

    def end(subscriber: Subscriber) -> None:
        match how:
            case "cut":
                subscriber.cut()
            case "reset":
                subscriber.abort()
            case _:
                subscriber.close(code, reason)

    return lambda target: _each(target, end)


def too_slow(params: Params) -> Action:
    """All connections are ended as those of readers that are too slow; how many."""
    return lambda target: _each(target, lambda one: one.close(CLOSE_TOO_SLOW, TOO_SLOW))


def half_open(params: Params) -> Action:
    """All connections stay open, but nothing is sent or read on them any more; how many."""
    return lambda target: _each(target, lambda one: one.freeze())


def no_answer(params: Params) -> Action:
    """The next calls of a method, or all until calm, are not answered."""
    return _ordering(params, None)


def error(params: Params) -> Action:
    """The next calls of a method (`*`: of any), or all until calm (count 0), get an error."""
    code = params.integer("code")
    if code not in MESSAGES:
        raise invalid_param("code", f"value must be one of {', '.join(map(str, MESSAGES))}")
    return _ordering(params, code)


def refuse_connections(params: Params) -> Action:
    """The next handshakes, or all until calm (count 0), are answered with an HTTP status."""
    status, count = params.integer("status"), params.integer("count", 1)
    if not 400 <= status <= 599:
        raise invalid_param("status", "value must be between 400 and 599")

    def act(target: FaultTarget) -> str:
        target.call_faults.handshakes.append(Refusal(status, count or None))
        return "ok"

    return act


def huge(params: Params) -> Action:
    """A notification of so many MiB goes to all connections; how many."""
    mib = positive(params, "mib", 64)
    if mib > MAX_HUGE_MIB:
        raise invalid_param("mib", f"value must be at most {MAX_HUGE_MIB}")
    channel = params.text("channel", "book.BTC-PERPETUAL.100ms")
    return lambda target: target.hub.inject(None, huge_message(channel, mib << 20))


def malformed(params: Params) -> Action:
    """Messages of the corpus (one, or all without a name) go to all connections; how many."""
    name = params.optional_text("name")
    if name is not None and name not in MALFORMED:
        raise invalid_param("name", f"value must be one of {', '.join(MALFORMED)}")
    chosen = [MALFORMED[name]] if name is not None else list(MALFORMED.values())

    def act(target: FaultTarget) -> int:
        for message in chosen:
            target.hub.inject(None, message.content, message.is_text)
        return len(chosen)

    return act


def inject(params: Params) -> Action:
    """Any text goes to the followers of a channel, or to all connections with null; how many."""
    channel, text = params.optional_text("channel"), params.text("text")
    return lambda target: target.hub.inject(channel, text)


def calm(params: Params) -> Action:
    """All that lasts or waits for its victims ends; what was held back is sent."""

    def act(target: FaultTarget) -> str:
        target.hub.calm()
        target.call_faults.calm()
        if target.venue.platform.is_locked:
            target.venue.platform.lock(False)
        return "ok"

    return act


def _ordering(params: Params, code: int | None) -> Action:
    method, count = params.text("method", ANY_METHOD), params.integer("count", 1)

    def act(target: FaultTarget) -> str:
        target.call_faults.calls.append(Ordered(method, code, count or None))
        return "ok"

    return act


def _each(target: FaultTarget, end: Callable[[Subscriber], None]) -> int:
    victims = tuple(target.hub.connections)
    for victim in victims:
        end(victim)
    return len(victims)


FAULTS: dict[str, Callable[[Params], Action]] = {
    "drop": _marking("drop"),
    "skip": _marking("drop"),  # its first name
    "duplicate": _marking("twice"),
    "reorder": _marking("swap"),
    "delay": delay,
    "gap": gap,
    "mute": mute,
    "restart_ids": restart_ids,
    "disconnect": disconnect,
    "too_slow": too_slow,
    "half_open": half_open,
    "no_answer": no_answer,
    "error": error,
    "refuse_connections": refuse_connections,
    "huge": huge,
    "malformed": malformed,
    "inject": inject,
    "maintenance": maintenance,
    "set_state": set_state,
    "list": list_instrument,
    "delist": delist,
    "calm": calm,
}
