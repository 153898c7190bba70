"""The book that every peer keeps: a dict a side, floats, prices in a sorted list.

Standard library only, because each peer runs in an environment of its own. The measures are those
that are compared: imbalance of 1, 5 and 10 levels and the order flow imbalance of the best level.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Any

LEVELS = (1, 5, 10)


class Book:
    """Bids and asks of one instrument; `state` is all of it, as JSON can hold it."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        state = state or {"bids": [], "asks": []}
        self.sides = [{-price: size for price, size in state["bids"]}]
        self.sides.append(dict(state["asks"]))
        self.keys = [sorted(side) for side in self.sides]

    def state(self) -> dict[str, Any]:
        """Return the whole book, best first."""
        bids, asks = self.sides
        return {
            "bids": [[-key, bids[key]] for key in self.keys[0]],
            "asks": [[key, asks[key]] for key in self.keys[1]],
        }

    def apply(self, data: dict[str, Any]) -> dict[str, float]:
        """Apply a notification; return what is measured of it."""
        if data.get("type") == "snapshot":
            self.sides = [{}, {}]
            self.keys = [[], []]
        before = None if data.get("type") == "snapshot" else self._best()
        for place, (name, sign) in enumerate((("bids", -1), ("asks", 1))):
            side, keys = self.sides[place], self.keys[place]
            for action, price, size in data[name]:
                key = sign * price
                if action == "delete":
                    if side.pop(key, None) is not None:
                        del keys[bisect_left(keys, key)]
                else:
                    if key not in side:
                        insort(keys, key)
                    side[key] = size
        measured = {f"imbalance_{count}_last": self._imbalance(count) for count in LEVELS}
        measured["ofi_usd"] = 0.0 if before is None else _flow(before, self._best())
        return measured

    def _best(self) -> tuple[float, float, float, float]:
        """Return price and size of the best bid and ask; prices as keys."""
        (bids, asks), (bid_keys, ask_keys) = self.sides, self.keys
        bid, ask = bid_keys[0], ask_keys[0]
        return bid, bids[bid], ask, asks[ask]

    def _imbalance(self, count: int) -> float:
        bids = sum(map(self.sides[0].__getitem__, self.keys[0][:count]))
        asks = sum(map(self.sides[1].__getitem__, self.keys[1][:count]))
        return (bids - asks) / (bids + asks)


def _flow(
    before: tuple[float, float, float, float], after: tuple[float, float, float, float]
) -> float:
    """Order flow imbalance of the best level: Cont, Kukanov & Stoikov (2014)."""
    bid, bid_size, ask, ask_size = after
    old_bid, old_bid_size, old_ask, old_ask_size = before
    # A bid's key is −price: a smaller key is a higher bid.
    flow = (bid_size if bid <= old_bid else 0.0) - (old_bid_size if bid >= old_bid else 0.0)
    return flow - (ask_size if ask <= old_ask else 0.0) + (old_ask_size if ask >= old_ask else 0.0)


def begin_window(instrument: str, start_ms: int) -> dict[str, Any]:
    """Return a window that nothing has happened in."""
    return {"instrument": instrument, "start_ms": start_ms, "observations": 0, "ofi_usd": 0.0}


def add_to_window(window: dict[str, Any], measured: dict[str, float]) -> dict[str, Any]:
    """Add what was measured of one notification to its window."""
    flow = window["ofi_usd"] + measured["ofi_usd"]
    return {
        **window,
        **measured,
        "observations": window["observations"] + 1,
        "ofi_usd": flow,
    }
