"""One instrument of a small venue, told step by step: frames in, what the processor answers out."""

from __future__ import annotations

import json
from typing import Any

from app.processing.processor import Outcome, Processor, Rules
from models.frame import FRAME_VERSION, Connected, Frame, Item, Notification, Tick

NAME = "BTC-PERPETUAL"
CHANNEL = f"book.{NAME}.100ms"
RULES = Rules((1_000, 10_000), 250, 3_000)
START_MS = 1_723_161_600_000


def message(channel: str, data: Any) -> Notification:
    """Return a notification as the venue writes it."""
    envelope = {"method": "subscription", "params": {"channel": channel, "data": data}}
    return Notification(7, json.dumps(envelope, separators=(",", ":")).encode())


class Market:
    """A processor with a live book of one level a side, and ways to tell it more."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.processor = Processor(NAME, rules)
        self.change_id = 0
        self.sequence = 0
        self.session = 0
        self.connect()

    def connect(self) -> Outcome:
        """Begin a session, with a snapshot."""
        self.session += 1
        self.sequence = 0
        self.tell(Connected(0, "w", False))
        return self.book(0, "snapshot")

    def tell(self, *items: Item) -> Outcome:
        """Hand over the next frame of the instrument."""
        self.sequence += 1
        return self._feed(self.sequence, items)

    def tick(self, at_ms: int, quiet_ms: int = 0) -> Outcome:
        """Hand over a tick of the venue's clock, so many ms after the start."""
        return self._feed(0, (Tick(0, START_MS + at_ms, quiet_ms),))

    def _feed(self, sequence: int, items: tuple[Item, ...]) -> Outcome:
        name = NAME if sequence else ""
        session = f"s-{self.session}"
        return self.processor.feed(
            Frame(FRAME_VERSION, name, CHANNEL, session, sequence, list(items))
        )

    def book(
        self, at_ms: int, kind: str = "change", bid: float = 100.0, size: float = 5.0
    ) -> Outcome:
        """Tell a message of the book after which its best bid is this, its best ask 101 × 4."""
        previous, self.change_id = self.change_id, self.change_id + 1
        gone = [["delete", price, 0.0] for price in (98.0, 99.0, 99.5, 100.0) if price > bid]
        data = {
            "timestamp": START_MS + at_ms,
            "change_id": self.change_id,
            "type": kind,
            "instrument_name": NAME,
            "bids": [["new", bid, size], *(gone if kind == "change" else [])],
            "asks": [["new", 101.0, 4.0]],
        }
        if kind == "change":
            data["prev_change_id"] = previous
        return self.tell(message(CHANNEL, data))

    def quote(
        self, at_ms: int, bid: float | None = 100.0, size: float | None = 5.0, ask: Any = 101.0
    ) -> Outcome:
        """Tell the venue's own best bid and ask."""
        best = {"best_bid_price": bid, "best_bid_amount": size}
        best |= {"best_ask_price": ask, "best_ask_amount": 4.0}
        data = {"timestamp": START_MS + at_ms, "instrument_name": NAME} | best
        return self.tell(message(f"quote.{NAME}", data))

    def ticker(self, at_ms: int, **figures: Any) -> Outcome:
        """Tell a ticker."""
        data = {"timestamp": START_MS + at_ms, "instrument_name": NAME} | figures
        return self.tell(message(f"ticker.{NAME}.100ms", data))

    def state(self, at_ms: int, state: str) -> Outcome:
        """Tell the state of the instrument."""
        data = {"timestamp": START_MS + at_ms, "state": state, "instrument_name": NAME}
        return self.tell(message("instrument.state.future.any", data))
