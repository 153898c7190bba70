"""The venue behind the protocol: a model of the market, or a recording of one."""

from collections.abc import Sequence
from typing import Protocol

from exchange.channels import Channel
from exchange.platform import Platform

Fields = dict[str, object]


class Venue(Protocol):
    """State and clock of a venue. What it publishes goes to the hub; it never sees a client."""

    platform: Platform
    """The venue as a whole: whether there is maintenance."""

    def now_us(self) -> int:
        """The venue's clock."""

    def instruments(self) -> Sequence[Fields]:
        """Metadata of every instrument, as `public/get_instruments` lists it."""

    def state(self, instrument: str) -> str | None:
        """`open`, `halted`, …; None for an instrument that the venue does not have."""

    def delisted(self) -> Sequence[Fields]:
        """Metadata of the instruments that were listed once."""

    def list_next(self) -> str:
        """List one more instrument; returns its name."""

    def delist(self, instrument: str) -> None:
        """Close an instrument of the venue for good."""

    def restart_ids(self) -> None:
        """Number all books anew, lower than before, each with a snapshot."""

    def set_state(self, instrument: str, state: str) -> None:
        """Halt, close or open an instrument that the venue has."""

    def order_book(self, instrument: str, depth: int) -> Fields:
        """The answer of `public/get_order_book` for an instrument that the venue has."""

    def offers(self, channel: Channel) -> bool:
        """Return whether there is such a channel."""

    def opening(self, channel: Channel) -> str | None:
        """The message that a new subscriber gets at once: the state so far."""

    async def run(self) -> None:
        """Let time pass until cancelled."""
