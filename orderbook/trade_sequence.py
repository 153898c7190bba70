"""The venue numbers the trades of an instrument without holes, over all sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from orderbook.events import Trade


class Numbered(NamedTuple):
    """A trade that was not seen before."""

    trade: Trade
    missing: int
    """How many trades before it did not come."""
    since_ms: int
    """If some did not, the latest time of a trade before them."""


class TradeSequence:
    """The number of the last trade, by which repetitions and holes are known."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last: tuple[int, int] | None = None
        """Number and time in ms of the latest trade that had a number."""

    def sort(self, trades: list[Trade]) -> Iterator[Numbered]:
        """Yield the new ones of some trades, by their number; those without are always new."""
        for trade in sorted(trades, key=_number) if len(trades) > 1 else trades:
            since_ms = 0 if self.last is None else self.last[1]
            missing = self._missing(trade)
            if missing is not None:
                yield Numbered(trade, missing, since_ms)

    def _missing(self, trade: Trade) -> int | None:
        """Return how many trades are missing before one; None if it is a repetition.

        A number that is not above the last one is a repetition, unless the trade is later: then
        the venue has begun to number anew.
        """
        number, time_ms = trade.sequence, trade.timestamp_ms
        if number is None:
            return 0
        if self.last is None:
            self.last = number, time_ms
            return 0
        last, last_ms = self.last
        if number <= last and time_ms <= last_ms:
            return None
        self.last = number, max(time_ms, last_ms)
        return max(0, number - last - 1)


def _number(trade: Trade) -> int:
    return trade.sequence or 0
