"""What a worker does all day long holds on to nothing, compiled or not.

Compiled code counts references by itself, so that what it forgets to let go is no cycle that
Python could find: only its memory grows.
"""

from __future__ import annotations

import gc
import json
import re
import sys
from itertools import count
from typing import Any

from app.processing.processor import Processor, Rules
from app.processing.state_codec import BooksCodec
from app.state.live_state import live_state
from models.frame import FRAME_VERSION, Connected, Frame, Item, Notification, Tick
from models.live import LiveRecord, encode_live
from models.window import encode_window
from orderbook.windows.span import Span
from tests.processing.market import START_MS, message

NAME = "BTC_USDC-PERPETUAL"
"""Linear: its USD are price × size, and their sums longer than 64 bits."""
KEY = NAME.encode()
BOOK, TRADES, TICKER = (f"{topic}.{NAME}.100ms" for topic in ("book", "trades", "ticker"))
RULES = Rules((1_000, 10_000), 250, 3_000, (Span(3_000, 1_000),))
SETTLING = 130
"""Seconds until nothing becomes more: windows that are kept, weights that are learnt."""
SECONDS = 200


class Day:
    """A processor, and all that is done with it, second by second."""

    def __init__(self) -> None:
        self.codec = BooksCodec(RULES)
        self.processor = Processor(NAME, RULES)
        self.sequence = count(1)
        self.feed(Connected(0, "w", False), self.book(0, None, 10.0))

    def feed(self, *items: Item) -> list[dict[str, Any]]:
        frame = Frame(FRAME_VERSION, NAME, BOOK, "s", next(self.sequence), list(items))
        return self.processor.feed(frame).windows

    def book(self, second: int, previous: int | None, size: float) -> Notification:
        sides = {
            "bids": [["new", 83_900.5 - level, 1_000.0 * size + level] for level in range(12)],
            "asks": [["new", 83_901.0 + level, 1_100.0 * size + level] for level in range(12)],
        }
        kind = "snapshot" if previous is None else "change"
        head = {"timestamp": START_MS + 1_000 * second, "instrument_name": NAME, "type": kind}
        link = {"change_id": second + 1, "prev_change_id": previous}
        return message(BOOK, head | link | sides)

    def second(self, second: int) -> None:
        at_ms = START_MS + 1_000 * second
        trade = {
            "trade_seq": second,
            "trade_id": str(second),
            "timestamp": at_ms,
            "price": 83_901.0,
            "amount": 900.0 + second % 7,
            "direction": "buy" if second % 2 else "sell",
            "instrument_name": NAME,
        }
        ticker = {
            "timestamp": at_ms,
            "instrument_name": NAME,
            "mark_price": 83_901.0 + second % 5,
            "index_price": 83_899.5,
            "funding_8h": 1e-5,
            "current_funding": 2e-5,
            "open_interest": 123_456.789,
            "state": "open",
        }
        windows = self.feed(
            self.book(second, second, 9_000.0 + second % 11),
            message(TRADES, [trade]),
            message(TICKER, ticker),
            Tick(0, at_ms + 300, 0),
        )
        assert windows or second < 3
        for window in windows:
            encode_window(window)
        last = next((one for one in windows if one["length_ms"] == one.get("hop_ms", 1_000)), None)
        state = live_state(self.processor, 3, last, at_ms)
        encode_live(LiveRecord(3, "w", at_ms, at_ms, True, {NAME: state}, at_ms))
        record = self.codec.dump(KEY, self.processor, second)
        self.codec.load(KEY, record)


def blocks() -> int:
    """Return how many pieces of memory Python's small objects take."""
    gc.collect()
    return sys.getallocatedblocks()


def test_a_day_holds_on_to_nothing() -> None:
    day = Day()
    for second in range(1, SETTLING):
        day.second(second)
    record = json.dumps(day.processor.to_record())
    assert re.search(r'"-?\d{20,}"', record), "sums of more than 64 bits, as text"
    before = blocks()
    for second in range(SETTLING, SETTLING + SECONDS):
        day.second(second)
    assert day.processor.counts["refused"] == 0
    assert day.processor.status == "live"
    assert blocks() - before < SECONDS, "each second keeps a piece of memory or more"
