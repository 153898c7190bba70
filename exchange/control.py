"""Methods of the simulator itself, on the same socket; only when it was started with --control.

`simulator/NAME` makes the fault NAME (faults.py). Troubles of calls do not meet these methods.
"""

from exchange.faults import FAULTS, make
from exchange.methods import Context, Method
from exchange.params import Params
from exchange.session import Session

PREFIX = "simulator/"


def disconnect_all(context: Context, session: Session, params: Params) -> int:
    """Cut every connection, the caller's after the answer; returns how many."""
    session.ends = True
    return 1 + context.target.hub.cut_all(spared=session.subscriber)


def _method(name: str) -> Method:
    def call(context: Context, session: Session, params: Params) -> object:
        return make(name, params)(context.target)

    return call


CONTROL_METHODS: dict[str, Method] = {
    f"{PREFIX}disconnect_all": disconnect_all,
    **{PREFIX + name: _method(name) for name in FAULTS},
}
