"""The timeline of an instrument: panes as event time passes through them, merged into windows.

Panes follow on each other without a hole, each as long as the greatest common divisor of the
windows' lengths and hops. A pane is closed when the clock is past its end by the grace that trades
have; from then on it is part of the windows it lies in (window_series.py). A long jump of the
clock is a few panes, not thousands.
"""

from __future__ import annotations

from itertools import pairwise
from math import gcd
from typing import Any, Final, NamedTuple

from orderbook.events import Ticker, Trade
from orderbook.measures import Snapshot
from orderbook.windows.pane import Pane
from orderbook.windows.span import Span, ordered
from orderbook.windows.time_weighted import TimeWeighted
from orderbook.windows.window_series import Closed, WindowSeries

MAX_GRACE_MS: Final = 60_000
MAX_FILL_MS: Final = 3_600_000
"""A jump of the clock beyond this is not filled with windows that hold nothing new."""


class Carried(NamedTuple):
    """Gathers what lasts while the clock moves."""

    state: Snapshot | None
    """None while the book is not live and two-sided, and where no pane ends before the time."""
    flags: int
    """What spoils the time that passes, of pane.FLAG_*."""


class Timeline:
    """Open panes and windows; each method that moves time answers the windows this completes.

    `spans`: the windows to make. `grace_ms`: event time that a window waits for its trades.
    `linear`: sizes are in the base coin, not USD. Raises ValueError on spans or a grace that
    are out of range.
    """

    def __init__(self, *, spans: tuple[Span, ...], grace_ms: int, linear: bool) -> None:
        if not 0 <= grace_ms <= MAX_GRACE_MS:
            raise ValueError(f"the trade grace must be 0 to {MAX_GRACE_MS} ms, not {grace_ms}")
        self.spans = ordered(spans)
        self.grace_ms = grace_ms
        self.linear = linear
        self.meter = TimeWeighted(linear=linear)
        """What lasts while time passes."""
        self.pane_ms = gcd(*(span.hop_ms for span in self.spans))  # hops divide their lengths
        self._panes: dict[int, Pane] = {}
        """By start: the panes that are not closed; a trade may open one ahead of the clock."""
        self._oldest = 0
        """Start of the first pane that is not closed."""
        self.current = Pane(0, 0)
        """The pane that the clock is in; before the start, one that counts nowhere."""
        self.quiet_until_ms = 0
        """Up to here time passes without an end: no pane ends before, and none is closed."""
        self._series: list[WindowSeries] = []
        """The windows of each span; none before the start."""
        self._ticker: Ticker | None = None
        """The latest ticker of the closed panes."""
        self._holes: list[tuple[int, int]] = []
        """Since and until when trades may be missing, where that may be ahead of the clock."""
        self._context_ms = 0
        """Start of the pane in which tickers were last forgotten: no later one counts before."""

    def start(self, time_ms: int) -> None:
        """Begin: the first windows are those that contain this time."""
        self._oldest = self._start_of(time_ms)
        self._pane(self._oldest).enter(None)
        self._enter(time_ms)
        self._series = [WindowSeries(span, linear=self.linear) for span in self.spans]
        for series in self._series:
            series.start(self._oldest)

    @property
    def is_started(self) -> bool:
        """Return whether there are windows yet."""
        return bool(self._series)

    def advance(self, clock_ms: int, to_ms: int, carried: Carried) -> list[Closed]:
        """Let time pass, the state lasting over the edges of panes; answer completed windows."""
        windows: list[Closed] = []
        if to_ms - clock_ms > MAX_FILL_MS:
            windows += self._close(clock_ms)
            for series in self._series:
                series.note_jump(clock_ms, to_ms)
            edge = self.current.end_ms
            far = self._start_of(to_ms - self.grace_ms)
            if edge < far:
                self._pass(clock_ms, edge, carried)
                windows += self._close(edge) + self._leap(edge, far, carried)
                clock_ms = far
                self._enter(far)
        self._pass(clock_ms, to_ms, carried)
        windows += self._close(to_ms - self.grace_ms)
        self._enter(to_ms)
        return windows

    def add_trade(self, trade: Trade) -> None:
        """Count a trade in its pane or, once that is closed, in its windows that are still open."""
        start = self._start_of(trade.timestamp_ms)
        is_closed = start < self._oldest
        for series in self._series:
            series.add_trade(trade, is_closed=is_closed)
        if not is_closed:
            self._pane(start).add_trade(trade, linear=self.linear)

    def miss_trades(self, since_ms: int, until_ms: int) -> None:
        """Note in all that is not closed that trades between two times may be missing."""
        self._holes.append((since_ms, until_ms))
        for pane in self._panes.values():
            if pane.end_ms > since_ms and pane.start_ms <= until_ms:
                pane.miss_trades(since_ms)

    def see_ticker(self, ticker: Ticker) -> None:
        """Let a ticker count from its time on, but not in what is closed, or was before it."""
        start = max(self._start_of(ticker.timestamp_ms), self._oldest, self._context_ms)
        self._pane(start).see_ticker(ticker)

    def forget_ticker(self) -> None:
        """Let no ticker that came before now count in windows that end later."""
        self._context_ms = self.current.start_ms
        for pane in self._panes.values():
            if pane.start_ms > self._context_ms:
                pane.ticker = None
        self.current.forget_ticker()

    # Panes

    def _start_of(self, time_ms: int) -> int:
        return time_ms - time_ms % self.pane_ms

    def _pane(self, start_ms: int) -> Pane:
        pane = self._panes.get(start_ms)
        if pane is None:
            pane = self._panes[start_ms] = self._new_pane(start_ms, start_ms + self.pane_ms)
        return pane

    def _new_pane(self, start_ms: int, end_ms: int) -> Pane:
        pane = Pane(start_ms, end_ms)
        for since_ms, until_ms in self._holes:
            if start_ms <= until_ms:
                pane.miss_trades(since_ms)
        return pane

    def _enter(self, clock_ms: int) -> None:
        self.current = self._panes[self._start_of(clock_ms)]
        self.quiet_until_ms = min(self.current.end_ms, self._oldest + self.pane_ms + self.grace_ms)

    def _pass(self, clock_ms: int, to_ms: int, carried: Carried) -> None:
        if clock_ms >= to_ms:
            return
        state = carried.state
        pane = self.current
        pane.flags |= carried.flags
        while pane.end_ms <= to_ms:
            self.meter.flush(pane, pane.end_ms)
            pane.close = state
            is_entered = pane.end_ms < to_ms
            pane = self._pane(pane.end_ms)
            pane.enter(None if state is None else state.bid + state.ask)
            if is_entered:
                pane.flags |= carried.flags

    def _close(self, time_ms: int) -> list[Closed]:
        """Close the panes that end by a time; answer the windows that this completes."""
        windows: list[Closed] = []
        while self._oldest + self.pane_ms <= time_ms:
            windows += self._merge(self._panes.pop(self._oldest))
        return windows

    def _merge(self, pane: Pane) -> list[Closed]:
        self._oldest = pane.end_ms
        if self._holes:
            self._holes = [hole for hole in self._holes if hole[1] >= pane.end_ms]
        known = self._ticker
        if (
            known is not None
            and not pane.is_context_new
            and (pane.ticker is None or pane.ticker.timestamp_ms < known.timestamp_ms)
        ):
            pane.ticker = known
        self._ticker = pane.ticker
        shortest, *longer = self._series
        others = [series.merge(pane) for series in longer]
        closed = [shortest.merge(pane, may_keep=True), *others]  # the last to be given it
        return [window for window in closed if window is not None]

    def _leap(self, edge_ms: int, far_ms: int, carried: Carried) -> list[Closed]:
        """Pass from one edge of panes to another far away, all of which is closed thereby.

        In between lie the edges of the windows where the jump begins and ends, and the few panes
        that trades or tickers have opened ahead of the clock: every other stretch is one pane.
        """
        opened = [start for start in self._panes if edge_ms <= start < far_ms]
        edges = {edge_ms, far_ms, *opened, *(start + self.pane_ms for start in opened)}
        for series in self._series:
            edges.update(series.edges(edge_ms, far_ms))
        cuts = sorted(edge for edge in edges if edge_ms <= edge <= far_ms)
        state = carried.state
        twice_mid = None if state is None else state.bid + state.ask
        windows: list[Closed] = []
        for start, end in pairwise(cuts):
            pane = self._panes.pop(start, None) or self._new_pane(start, end)
            pane.enter(twice_mid)
            self.meter.flush(pane, end)
            pane.flags |= carried.flags
            pane.close = state
            windows += self._merge(pane)
        self._pane(far_ms).enter(twice_mid)
        return windows

    # Recovery

    def to_record(self) -> list[Any]:
        """Return all of it as plain lists and numbers."""
        return [
            self._oldest,
            [pane.to_record() for pane in self._panes.values()],
            [series.to_record() for series in self._series],
            self._ticker,
            [self._context_ms, self._holes],
        ]

    def restore(self, record: list[Any]) -> None:
        """Take the state of a record; raise ValueError if it is none of these windows."""
        self._oldest, panes, windows, ticker, (self._context_ms, holes) = record
        self._holes = [(since_ms, until_ms) for since_ms, until_ms in holes]
        self._panes = {pane.start_ms: pane for pane in map(Pane.from_record, panes)}
        self._series = [WindowSeries.from_record(series, linear=self.linear) for series in windows]
        self._ticker = None if ticker is None else Ticker(*ticker)
        self.meter = TimeWeighted(linear=self.linear)

    def resume(self, clock_ms: int) -> None:
        """Go on from the time of a state that was restored and checked."""
        self._enter(clock_ms)

    def check(self, clock_ms: int) -> None:
        """Raise ValueError if an invariant is broken, given the time that it is."""
        spans = tuple(series.span for series in self._series)
        if spans != self.spans:
            raise ValueError(f"windows of {spans}, not of {self.spans}")
        if self._start_of(clock_ms) not in self._panes or self._oldest not in self._panes:
            raise ValueError(f"no pane is open at {clock_ms}")
        for series in self._series:
            series.check(self._oldest)
