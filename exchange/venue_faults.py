"""Faults of the venue itself: its books, its instruments, its maintenance. See faults.py."""

from exchange.call_faults import ANY_METHOD, Ordered
from exchange.channels import INTERVALS
from exchange.errors import SYSTEM_MAINTENANCE
from exchange.fault_target import Action, FaultTarget, check_listed, positive
from exchange.params import Params

STATES = ("open", "locked", "halted", "inactive", "closed")
MAINTENANCE = Ordered(ANY_METHOD, SYSTEM_MAINTENANCE, None)


def gap(params: Params) -> Action:
    """The next change of an instrument vanishes on each of its incremental channels."""
    name, count = params.text("instrument_name"), positive(params, "count", 1)

    def act(target: FaultTarget) -> str:
        check_listed(target, name)
        for interval in INTERVALS:
            channel = f"book.{name}.{interval}"
            if channel in target.hub.live:
                target.hub.transit.mark(channel, "drop", count)
        return "ok"

    return act


def restart_ids(params: Params) -> Action:
    """All books go on under lower ids, each with a snapshot."""

    def act(target: FaultTarget) -> str:
        target.venue.restart_ids()
        return "ok"

    return act


def maintenance(params: Params) -> Action:
    """Nothing is traded, all calls are answered 11051, and platform_state says so; or it ends."""
    is_on = params.flag("on", True)

    def act(target: FaultTarget) -> str:
        calls = target.call_faults.calls
        calls[:] = [one for one in calls if one != MAINTENANCE]
        if is_on:
            calls.append(MAINTENANCE)
        target.venue.platform.lock(is_on)
        return "ok"

    return act


def set_state(params: Params) -> Action:
    """An instrument is opened, locked, halted, or closed."""
    name, state = params.text("instrument_name"), params.choice("state", STATES)

    def act(target: FaultTarget) -> str:
        check_listed(target, name)
        target.venue.set_state(name, state)
        return "ok"

    return act


def list_instrument(params: Params) -> Action:
    """One more instrument is listed; its name."""
    return lambda target: target.venue.list_next()


def delist(params: Params) -> Action:
    """An instrument is closed for good."""
    name = params.text("instrument_name")

    def act(target: FaultTarget) -> str:
        check_listed(target, name)
        target.venue.delist(name)
        return "ok"

    return act
