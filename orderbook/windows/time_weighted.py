"""Means are integrated when something changes, not whenever time passes.

What is measured of a live, two-sided book lasts until a message changes it, and most messages leave
most of it as it was. So each sum keeps since when it has had its value; when it changes, and where
a pane ends, the value times the time that it lasted is added. In integers that is the same number
as adding a little at each message, at a quarter of the time (docs/decisions/0008-compiled.md).
"""

from __future__ import annotations

from orderbook.book.book import Book
from orderbook.book.depth_bands import BANDS_BP
from orderbook.book.top_levels import LEVELS, TopLevels
from orderbook.measures import imbalance_ratio
from orderbook.units import ratio, times
from orderbook.windows import pane as p
from orderbook.windows.pane import Pane


class Share:
    """Both sides within some levels or a band, their imbalance, and its sums over time.

    Sizes are as quoted; `usd` is the same number for an inverse instrument. Where neither side has
    anything, there is no imbalance, and that time is not valid.
    """

    __slots__ = (
        "_ask_usd_time",
        "_bid_usd_time",
        "_ratio_time",
        "_since_ms",
        "_valid_ms",
        "ask",
        "ask_usd",
        "bid",
        "bid_usd",
        "ratio",
        "ratio_events",
    )

    def __init__(self) -> None:
        self.bid = self.ask = self.bid_usd = self.ask_usd = 0
        self.ratio = 0
        """The imbalance in units of 1e-12; 0 where there is none."""
        self.ratio_events = 0
        """Its sum over observations."""
        self._since_ms = 0
        self._valid_ms = self._ratio_time = self._bid_usd_time = self._ask_usd_time = 0

    def set(self, bid: int, ask: int, bid_usd: int, ask_usd: int, now_ms: int) -> None:
        """Let other sums hold from now on."""
        if (
            bid == self.bid
            and ask == self.ask
            and bid_usd == self.bid_usd
            and ask_usd == self.ask_usd
        ):
            return
        if now_ms != self._since_ms:
            self._pass(now_ms)
        self.bid, self.ask, self.bid_usd, self.ask_usd = bid, ask, bid_usd, ask_usd
        self.ratio = imbalance_ratio(bid, ask) if bid or ask else 0

    def _pass(self, now_ms: int) -> None:
        """Add the time that the sums have lasted."""
        if self.bid or self.ask:
            passed_ms = now_ms - self._since_ms
            self._valid_ms += passed_ms
            self._ratio_time += times(self.ratio, passed_ms)
            self._bid_usd_time += times(self.bid_usd, passed_ms)
            self._ask_usd_time += times(self.ask_usd, passed_ms)
        self._since_ms = now_ms

    def flush(self, times: list[int], place: int, now_ms: int) -> int:
        """Move the sums over time to a pane's, as those of a place; return the valid time."""
        self._pass(now_ms)
        times[p.TIME_LEVELS + place] += self._ratio_time
        times[p.TIME_USD + 2 * place] += self._bid_usd_time
        times[p.TIME_USD + 2 * place + 1] += self._ask_usd_time
        valid_ms = self._valid_ms
        self._valid_ms = self._ratio_time = self._bid_usd_time = self._ask_usd_time = 0
        return valid_ms


class TimeWeighted:
    """Measures a book as of event time, and holds what no pane has yet.

    The best levels are followed at each observation, for the means over observations. Spread and
    bands only enter means over time, so `settle` follows them, once time is about to pass.
    """

    __slots__ = (
        "_ask",
        "_band_shares",
        "_bid",
        "_is_following",
        "_is_valid",
        "_level_shares",
        "_linear",
        "_since_ms",
        "_spread",
        "_spread_time",
        "_trades_are_followed",
        "_trades_ms",
        "_trades_since_ms",
        "_valid_ms",
        "is_settled",
    )

    def __init__(self, *, linear: bool) -> None:
        self._linear = linear
        self._level_shares = [Share() for _ in LEVELS]
        self._band_shares = [Share() for _ in BANDS_BP]
        self._is_following = False
        """Whether the shares of the levels are those of the book."""
        self._bid = self._ask = 0
        """Best prices that the spread is of."""
        self._spread = 0
        self._is_valid = False
        """Whether the book is live and two-sided."""
        self._since_ms = 0
        self._valid_ms = self._spread_time = 0
        self._trades_are_followed = False
        self._trades_since_ms = self._trades_ms = 0
        self.is_settled = True
        """Whether nothing was observed since `settle`."""

    def observe(self, bids: TopLevels, asks: TopLevels, now_ms: int, *, is_other: bool) -> None:
        """A message was applied, after which these are the fronts; neither is empty.

        `is_other`: one of them is not what it was at the last observation.
        """
        if is_other or not self._is_following:
            self._follow(bids, asks, now_ms)
        for share in self._level_shares:
            share.ratio_events += share.ratio
        self.is_settled = False

    def resume(self, book: Book, now_ms: int) -> None:
        """Measure a two-sided book as it stands; nothing was observed."""
        self._follow(book.bids.front(), book.asks.front(), now_ms)
        self.settle(book, now_ms)

    def _follow(self, bids: TopLevels, asks: TopLevels, now_ms: int) -> None:
        self._is_following = True
        for place, share in enumerate(self._level_shares):
            share.set(
                bids.sums[place], asks.sums[place], bids.values[place], asks.values[place], now_ms
            )

    def settle(self, book: Book, now_ms: int) -> None:
        """Follow spread and bands of the book that was observed last."""
        self.is_settled = True
        bids, asks = book.bids, book.asks
        bid, ask = -bids.keys[-1], asks.keys[-1]
        if not self._is_valid or bid != self._bid or ask != self._ask:
            self._pass(now_ms)
            self._is_valid = True
            self._bid, self._ask = bid, ask
            self._spread = ratio(20_000 * (ask - bid), bid + ask)
        bid_bands, ask_bands = bids.near(bid + ask).all, asks.near(bid + ask).all
        for place, share in enumerate(self._band_shares):
            one, other = bid_bands[place], ask_bands[place]
            if self._linear:  # a bid's key is its price with the other sign
                share.set(one.size, other.size, -one.value, other.value, now_ms)
            else:
                share.set(one.size, other.size, one.size, other.size, now_ms)

    def stop(self, now_ms: int) -> None:
        """The book is not live and two-sided from now on."""
        self._is_following = False
        for share in self._level_shares:
            share.set(0, 0, 0, 0, now_ms)
        for share in self._band_shares:
            share.set(0, 0, 0, 0, now_ms)
        self._pass(now_ms)
        self._is_valid = False
        self.is_settled = True

    def follow_trades(self, is_followed: bool, now_ms: int) -> None:
        """The trades channel is followed from now on, or is not."""
        self._pass_trades(now_ms)
        self._trades_are_followed = is_followed

    def flush(self, pane: Pane, now_ms: int) -> None:
        """Move all sums to the pane that ends now, or is looked at."""
        self._pass(now_ms)
        self._pass_trades(now_ms)
        times, events = pane.times, pane.events
        times[p.TIME_VALID] += self._valid_ms
        times[p.TIME_SPREAD] += self._spread_time
        times[p.TIME_TRADES] += self._trades_ms
        self._valid_ms = self._spread_time = self._trades_ms = 0
        for place, share in enumerate(self._level_shares):
            share.flush(times, place, now_ms)
            events[place] += share.ratio_events
            share.ratio_events = 0
        for place, share in enumerate(self._band_shares):
            valid_ms = share.flush(times, len(LEVELS) + place, now_ms)
            times[p.TIME_BANDS_VALID + place] += valid_ms

    def _pass_trades(self, now_ms: int) -> None:
        if self._trades_are_followed:
            self._trades_ms += now_ms - self._trades_since_ms
        self._trades_since_ms = now_ms

    def _pass(self, now_ms: int) -> None:
        if self._is_valid:
            passed_ms = now_ms - self._since_ms
            self._valid_ms += passed_ms
            self._spread_time += times(self._spread, passed_ms)
        self._since_ms = now_ms
