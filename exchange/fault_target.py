"""The parts of an exchange that faults act on."""

from collections.abc import Callable
from dataclasses import dataclass

from exchange.call_faults import CallFaults
from exchange.errors import NOT_FOUND, RpcError, invalid_param
from exchange.hub import Hub
from exchange.params import Params
from exchange.venue import Venue


@dataclass(slots=True)
class FaultTarget:
    """Gathers what a fault can reach."""

    hub: Hub
    venue: Venue
    call_faults: CallFaults


Action = Callable[[FaultTarget], object]


def positive(params: Params, name: str, default: int) -> int:
    """Read a number from 1; raise RpcError for another."""
    value = params.integer(name, default)
    if value < 1:
        raise invalid_param(name, "value must be at least 1")
    return value


def check_listed(target: FaultTarget, name: str) -> None:
    """Raise RpcError if the venue has no such instrument."""
    if target.venue.state(name) is None:
        raise RpcError(NOT_FOUND, data={"param": "instrument_name"})
