"""The windows of one span, as panes pass by: a row of cells, and each window a fold of some.

A cell is as long as the hop. Of tumbling windows there is one cell, which becomes the window; of
hopping windows there are as many as overlap, and when the last one is full they are merged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from orderbook.events import Trade
from orderbook.windows import pane as p
from orderbook.windows.ofi_weights import Fit, Weights
from orderbook.windows.pane import Pane
from orderbook.windows.span import Span


class Closed(NamedTuple):
    """A window to which nothing can be added any more."""

    span: Span
    pane: Pane
    weights: Weights
    """Those of `ofi_integrated`, fitted on windows that ended before this one began."""


class WindowSeries:
    """The open windows of a span, from the one that contains the time it is started with."""

    __slots__ = ("_cells", "_fit", "_late", "_linear", "_published_ms", "_skip", "span")

    def __init__(self, span: Span, *, linear: bool) -> None:
        self.span = span
        self._linear = linear
        self._cells: list[Pane] = []
        """From the start of the oldest open window; the last one is being filled."""
        self._late = 0
        """Late trades since the last window was closed."""
        self._published_ms = 0
        """End of the last window that was closed."""
        self._skip = 0, 0
        """Windows that start between these two are left out: a jump of the clock passed them."""
        self._fit = Fit(span.length_ms)

    def start(self, time_ms: int) -> None:
        """Begin with the windows that contain this time, where a pane starts."""
        hop = self.span.hop_ms
        current = time_ms - time_ms % hop
        first = self.span.first_after(time_ms)
        self._cells = [Pane(begin, begin + hop) for begin in range(first, current, hop)]
        self._cells.append(Pane(current, time_ms))

    def merge(self, pane: Pane, *, may_keep: bool = False) -> Closed | None:
        """Add the next pane; answer the window that this completes.

        `may_keep`: nobody else has the pane, so where a cell begins, the pane can be the cell.
        """
        cell = self._cells[-1]
        if pane.start_ms < cell.start_ms:
            return None  # within a jump that these windows leave out
        if may_keep and cell.start_ms == cell.end_ms == pane.start_ms:
            self._cells[-1] = cell = pane
        else:
            cell.merge(pane)
        if cell.end_ms % self.span.hop_ms:
            return None
        return self._end_cell(cell.end_ms)

    def add_trade(self, trade: Trade, *, is_closed: bool) -> None:
        """Count a trade as late if a window misses it, and in the cell it is in if that is closed.

        `is_closed`: its pane is closed, so that no pane brings it.
        """
        time_ms = trade.timestamp_ms
        if time_ms < self._published_ms or time_ms < self._oldest_start():
            self._late += 1
        place = (time_ms - self._cells[0].start_ms) // self.span.hop_ms
        if is_closed and place >= 0:
            self._cells[place].add_trade(trade, linear=self._linear)

    # Jumps

    def note_jump(self, clock_ms: int, to_ms: int) -> None:
        """The clock jumps: windows wholly inside the jump are left out."""
        self._skip = clock_ms - clock_ms % self.span.hop_ms, self.span.first_after(to_ms)

    def edges(self, from_ms: int, to_ms: int) -> Iterator[int]:
        """Iterate over the edges of the cells that are needed within the jump that was noted."""
        length, hop = self.span
        last_start, resume = self._skip
        first = from_ms - from_ms % hop + hop
        yield from range(first, min(last_start + length, to_ms) + 1, hop)
        yield from range(max(first, resume), to_ms + 1, hop)

    # Windows

    def _oldest_start(self) -> int:
        """Return the start of the oldest window that is open."""
        length, hop = self.span
        first = max(self._cells[-1].start_ms + hop - length, self._cells[0].start_ms)
        last_start, resume = self._skip
        return resume if last_start < first < resume else first

    def _end_cell(self, end_ms: int) -> Closed | None:
        last_start, resume = self._skip
        closed = None
        if len(self._cells) == self.span.overlap:
            start_ms = end_ms - self.span.length_ms
            if not last_start < start_ms < resume:
                closed = self._close(start_ms)
            del self._cells[0]
        if end_ms == last_start + self.span.length_ms and end_ms < resume:
            self._cells.clear()
            end_ms = resume
        self._cells.append(Pane(end_ms, end_ms))
        return closed

    def _close(self, start_ms: int) -> Closed:
        if self.span.is_hopping:
            window = Pane(start_ms, start_ms)
            for cell in self._cells:
                window.merge(cell)
        else:
            [window] = self._cells
        window.counts[p.COUNT_LATE_TRADES] = self._late
        self._late = 0
        self._published_ms = window.end_ms
        weights = self._fit.at(start_ms)
        if start_ms % self.span.length_ms == 0:  # of hopping windows those that do not overlap
            self._learn(window)
        return Closed(self.span, window, weights)

    def _learn(self, window: Pane) -> None:
        if not window.flags and window.times[p.TIME_VALID] == self.span.length_ms:
            self._fit.learn(window.flow)

    # Recovery

    def to_record(self) -> list[Any]:
        """Return all of it as plain lists and numbers."""
        return [
            self.span,
            [cell.to_record() for cell in self._cells],
            [self._late, self._published_ms, *self._skip],
            self._fit.to_record(),
        ]

    @classmethod
    def from_record(cls, record: list[Any], *, linear: bool) -> WindowSeries:
        """Return the windows of a record; raise ValueError if it is none."""
        span, cells, (late, published_ms, *skip), fit = record
        series = cls(Span(*span), linear=linear)
        series._cells = [Pane.from_record(cell) for cell in cells]
        series._late, series._published_ms = late, published_ms
        last_start, resume = skip
        series._skip = last_start, resume
        series._fit.restore(fit)
        return series

    def check(self, oldest_ms: int) -> None:
        """Raise ValueError if an invariant is broken; `oldest_ms`: what is before is closed."""
        hop = self.span.hop_ms
        if not 0 < len(self._cells) <= self.span.overlap:
            raise ValueError(f"{self.span} has {len(self._cells)} cells")
        last = self._cells[-1]
        if not last.start_ms <= max(last.end_ms, oldest_ms) < last.start_ms + hop:
            raise ValueError(f"a cell of {hop} ms ends at {last.end_ms}")
        for place, cell in enumerate(self._cells):
            if cell.start_ms != last.start_ms - (len(self._cells) - 1 - place) * hop:
                raise ValueError(f"the cell from {cell.start_ms} is not in its row of {hop} ms")
