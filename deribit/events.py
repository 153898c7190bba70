"""Events that a session hands to its owner: a closed set of values without a wall clock."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from deribit.vocabulary import PERPETUAL


class Connected(NamedTuple):
    """The venue has greeted us, and accepted the credentials if there are any."""

    simulated: bool
    session: str = ""
    """Name of the session, unique among all; given by the client."""
    is_testnet: bool = False

    @property
    def venue(self) -> str:
        """Return which venue it is, by its own word."""
        if self.simulated:
            return "simulated"
        return "deribit-test" if self.is_testnet else "deribit"


class Subscribed(NamedTuple):
    """The venue has confirmed these channels."""

    channels: tuple[str, ...]


class Notification(msgspec.Struct, gc=False):
    """A message of a channel that is wanted, as it came. (A tuple is slower to make.)"""

    channel: str
    instrument: str
    raw: bytes
    is_duplicate: bool = False
    """Its change_id is not above the last one: books ignore it."""


class GapFound(NamedTuple):
    """Messages of a channel are missing; a book's come again only after its next snapshot."""

    channel: str
    instrument: str
    expected: int | None
    """The change_id that the next change should have named as its predecessor."""
    found: int | None
    """The one that it named; None if the gap was not found in the chain (overflow, resync)."""


class Tick(NamedTuple):
    """The venue's clock, about once a second."""

    venue_ms: int
    """Everything before this event was sent before this venue time; it never decreases."""
    quiet_ms: int
    """Time since anything arrived on the socket."""


class TickStep(msgspec.Struct, frozen=True):
    """A coarser tick that holds above a price."""

    above_price: float
    tick_size: float


class Instrument(msgspec.Struct, frozen=True):
    """An instrument as the venue describes it; only what is used, None where it did not say."""

    instrument_name: str
    kind: str | None = None
    settlement_period: str | None = None
    is_active: bool | None = None
    state: str | None = None
    instrument_type: str | None = None
    """`reversed` or `linear`; by itself it does not tell the unit of amounts (served.py)."""
    base_currency: str | None = None
    quote_currency: str | None = None
    settlement_currency: str | None = None
    contract_size: float | None = None
    tick_size: float | None = None
    tick_size_steps: list[TickStep] | None = None
    price_index: str | None = None
    min_trade_amount: float | None = None

    @property
    def is_perpetual(self) -> bool:
        """Return whether it has no end: told by its settlement period, never by its name."""
        return self.settlement_period == PERPETUAL

    @property
    def tick_sizes(self) -> list[tuple[float, float]]:
        """(price, tick): the tick above that price, from 0 up; empty if the venue did not say."""
        if self.tick_size is None:
            return []
        steps = [(step.above_price, step.tick_size) for step in self.tick_size_steps or ()]
        return [(0.0, self.tick_size), *steps]


class Instruments(NamedTuple):
    """All open perpetuals and dated futures of the venue."""

    instruments: tuple[Instrument, ...]


class Rejected(NamedTuple):
    """The venue does not serve these channels; they are asked for again in the next session."""

    channels: tuple[str, ...]
    reason: str


class FellBack(NamedTuple):
    """These raw channels were refused without credentials; the 100ms ones are followed instead."""

    channels: tuple[tuple[str, str], ...]
    """Pairs: what was wanted, what is followed."""


class Unreadable(NamedTuple):
    """A message was not understood; the session goes on."""

    raw: bytes
    reason: str


class Failed(NamedTuple):
    """The venue answered a request with an error."""

    method: str
    code: int
    message: str


class Reconnect(NamedTuple):
    """The session is over: connect again."""

    reason: str
    """One of few words, fit for a label of a metric."""
    detail: str
    least_wait_s: float = 0.0


class Fatal(NamedTuple):
    """The session is over, and no other can do better until a person changes something."""

    detail: str


class Disconnected(NamedTuple):
    """The connection has ended, or could not be made; said by the client."""

    reason: str
    detail: str


Event = (
    Connected
    | Subscribed
    | Notification
    | GapFound
    | Tick
    | Instruments
    | Rejected
    | FellBack
    | Unreadable
    | Failed
    | Reconnect
    | Fatal
    | Disconnected
)
