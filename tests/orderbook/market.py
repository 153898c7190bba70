"""An instrument that is told books and trades in plain numbers, and the windows it answers."""

from orderbook.events import Change, Trade
from orderbook.instrument import Instrument
from orderbook.windows.span import Span

UNIT = 10**8
SECOND = 1_000
START = 1_723_161_600_000
"""Midnight, so that all lengths begin here."""


def units(levels):
    return [(round(price * UNIT), round(size * UNIT)) for price, size in levels]


class Market:
    """Times are ms from START; `spans` are lengths, or (length, hop)."""

    def __init__(self, *spans, linear=False, grace_ms=0):
        spans = tuple(
            Span(*span) if isinstance(span, tuple) else Span.tumbling(span) for span in spans
        )
        self.instrument = Instrument("X", linear=linear, spans=spans, grace_ms=grace_ms)
        self.instrument.connect()
        self.change_id = 0
        self.windows = []

    def book(self, at_ms, bids=(), asks=(), *, snapshot=False):
        previous, self.change_id = self.change_id, self.change_id + 1
        previous = None if snapshot or not previous else previous
        change = Change(START + at_ms, self.change_id, previous, units(bids), units(asks))
        windows, problem = self.instrument.change(change)
        assert problem is None
        self.windows += windows

    def trade(self, at_ms, number=None, *, usd=10, buy=True, **kind):
        """`kind`: `liquidated`, `is_block`, `is_combo`."""
        self.trades((at_ms, number, usd, buy, kind))

    def trades(self, *trades):
        self.instrument.trades(
            [
                Trade(START + at_ms, number, 100 * UNIT, usd * UNIT, buy, **kind)
                for at_ms, number, usd, buy, kind in trades
            ]
        )

    def tick(self, clock_ms):
        """Move the clock; answer all windows that are closed by now."""
        self.windows += self.instrument.tick(START + clock_ms + 3_000, 0, 3_000)
        return self.windows

    def column(self, name):
        return [window[name] for window in self.windows]
