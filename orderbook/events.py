"""Events of an order book, in the domain's words; numbers are units of 1e-8 (units.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

Level = tuple[int, int]
"""Price and size; a size of 0 removes the level."""


@dataclass(init=False, slots=True)
class Change:
    """One notification of an incremental order book."""

    timestamp_ms: int
    change_id: int
    previous_id: int | None
    """The change that this one follows; None in a snapshot, which starts the book anew."""
    bids: list[Level]
    asks: list[Level]

    # Written out, as there is one for each notification: compiled, it is made in a fifth of the
    # time of a dataclass's own, or of a NamedTuple.
    def __init__(
        self,
        timestamp_ms: int,
        change_id: int,
        previous_id: int | None,
        bids: list[Level],
        asks: list[Level],
    ) -> None:
        self.timestamp_ms = timestamp_ms
        self.change_id = change_id
        self.previous_id = previous_id
        self.bids = bids
        self.asks = asks


class Trade(NamedTuple):
    """One trade, from the taker's side."""

    timestamp_ms: int
    sequence: int | None
    """Number of the trade within the instrument, contiguous; None where the venue gave none."""
    price: int
    size: int
    is_buy: bool
    liquidated: str = ""
    """Whose order was a liquidation: `M` the maker's, `T` the taker's, `MT` both; else empty."""
    is_block: bool = False
    """Whether it was agreed outside the order book, as a block trade."""
    is_combo: bool = False
    """Whether it is a leg of a combo: matched in another book, at a price made from marks."""


class Ticker(NamedTuple):
    """The venue's own figures of an instrument, as doubles; None where it gave none."""

    timestamp_ms: int
    mark_price: float | None
    index_price: float | None
    funding_8h: float | None
    open_interest: float | None
    """USD for inverse instruments, base coin for linear ones."""


class GroupedBook(NamedTuple):
    """The best levels of a book, grouped by the venue; (price, size), best first."""

    channel: str
    timestamp_ms: int
    change_id: int
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
