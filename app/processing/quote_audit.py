"""The audit compares the top of the rebuilt book with the best quotes that the venue states.

The chain shows what is missing; only the quotes of other channels show what is wrong. They have no
order with the book's messages, and between two of those the best may have changed many times. So
a quote agrees if it has, price and size, the value of the present top, of the one before, or of the
next; one that agrees with none proves nothing, but a right book agrees again and again. It is wrong
if none of MIN_IN_A_ROW quotes has agreed for MIN_LASTING_MS of the venue's time. So what a quote
was is only known when another agrees, or when the book is given up; it is counted then.

A side that the venue states as empty (0 or null) is not compared: it says so of closed books, too.
"""

from __future__ import annotations

from typing import Any, Final

from deribit.decode_quotes_states import Quote
from orderbook.events import Level
from orderbook.units import Boxed

MIN_IN_A_ROW: Final = 5
MIN_LASTING_MS: Final = 3_000
"""Longer than a book message was ever late (2.8 s)."""
MAX_DOUBLINGS: Final = 6
"""Each snapshot that does not help doubles the time: quotes may be what is wrong. Up to 3 min."""
MAX_HELD: Final = 64
"""Quotes that wait for the next top; if there are more, the first are forgotten."""

Top = tuple[Level | None, Level | None]
"""Best bid and best ask; None for an empty side."""


class QuoteAudit:
    """The agreement of one book with the quotes of its instrument."""

    __slots__ = (
        "_before",
        "_held",
        "_in_vain",
        "_row",
        "_since_ms",
        "_top",
        "agreed",
        "between",
        "failed",
        "unmatched",
    )

    def __init__(self) -> None:
        self.agreed = 0
        """Quotes that had the value of a top."""
        self.between = 0
        """Quotes of moments between two messages of a right book: they had no top to agree with."""
        self.unmatched = 0
        """Quotes that contradicted a book, which was given up."""
        self.failed = 0
        """Books that were given up as wrong."""
        self._top: Top | None = None
        """The present top; None while the book is not live."""
        self._before: Top | None = None
        self._held: list[Top] = []
        """Quotes since the present top that agree with nothing yet."""
        self._row = 0
        """Quotes since the last that agreed."""
        self._since_ms = 0
        """The venue's time of the first of them."""
        self._in_vain = 0
        """Books given up since a quote agreed."""

    def observe(self, bid: Level | None, ask: Level | None) -> None:
        """Note the top of the book after a message that was applied."""
        top = bid, ask
        if top == self._top:
            return
        if self._held:
            if any(_agree(quote, top) for quote in self._held):
                self._row -= 1
                self._agreed()
            self._held = []
        self._before, self._top = self._top, top

    def interrupt(self) -> None:
        """Forget the top: the book is not live, and quotes say nothing about it."""
        self._top = self._before = None
        self._held = []
        self._row = 0

    def _agreed(self) -> None:
        """Count a quote that agreed: the book is right, and those before were between messages."""
        self.agreed += 1
        self.between += self._row
        self._row = self._in_vain = 0

    def quote(self, quote: Quote) -> bool:
        """Compare a quote; answer whether the book must be given up as wrong."""
        stated = quote.bid, quote.ask
        if self._top is None or stated == (None, None):
            return False
        if _agree(stated, self._top) or (self._before is not None and _agree(stated, self._before)):
            self._agreed()
            return False
        if self._row == 0:
            self._since_ms = quote.timestamp_ms
        self._row += 1
        self._held.append(stated)
        if len(self._held) > MAX_HELD:
            del self._held[0]
        patience_ms = MIN_LASTING_MS << min(self._in_vain, MAX_DOUBLINGS)
        if self._row < MIN_IN_A_ROW or quote.timestamp_ms - self._since_ms < patience_ms:
            return False
        self.unmatched += self._row
        self.failed += 1
        self._in_vain += 1
        self.interrupt()
        return True

    def counts(self) -> dict[str, int]:
        """Return what has become of the quotes, by the names that answers use."""
        return {
            "quotes_agreed": self.agreed,
            "quotes_between_updates": self.between,
            "quotes_unmatched": self.unmatched,
            "audit_failures": self.failed,
        }

    def to_record(self) -> list[Any]:
        """Return everything that the future depends on."""
        return [
            [self.agreed, self.between, self.unmatched, self.failed],
            self._top,
            self._before,
            self._held,
            [self._row, self._since_ms, self._in_vain],
        ]

    def restore(self, record: list[Any]) -> None:
        """Take the state of a record; raise ValueError or TypeError if it is none."""
        counts, top, before, held, run = record
        self._row, self._since_ms, self._in_vain = run
        self.agreed, self.between, self.unmatched, self.failed = counts
        self._top = None if top is None else _top_of(top)
        self._before = None if before is None else _top_of(before)
        self._held = [_top_of(quote) for quote in held]


def _agree(stated: Top, top: Top) -> bool:
    stated_bid: Boxed = stated[0]
    stated_ask: Boxed = stated[1]
    bid: Boxed = top[0]
    ask: Boxed = top[1]
    if stated_bid is not None and stated_bid != bid:
        return False
    return stated_ask is None or bool(stated_ask == ask)


def _top_of(record: list[Any]) -> Top:
    bid, ask = (None if level is None else (level[0], level[1]) for level in record)
    return bid, ask
