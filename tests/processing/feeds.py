"""Random feeds, as Hypothesis draws them, and the two ways to their windows.

A feed is drawn as a list of steps, which a small venue turns into items: so most changes follow
their chain, and what does not is meant. Times are steps of the shortest window's length.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from app.processing.processor import Processor, Rules
from app.processing.state_codec import BooksCodec
from models.frame import (
    FRAME_VERSION,
    Connected,
    Disconnected,
    Frame,
    GapFound,
    Item,
    Notification,
    Tick,
    TradesFollowed,
)
from models.window import encode_window
from orderbook.windows.span import Span
from tests.reference.windows import published, reference_windows

STALE_AFTER_MS = 3_000
START_MS = 1_723_161_599_000
"""One second before midnight, UTC."""
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Market:
    instrument: str
    price: float
    tick: float
    lot: float

    @property
    def channel(self) -> str:
        return f"book.{self.instrument}.100ms"


INVERSE = Market("BTC-PERPETUAL", 83_900.5, 0.5, 10.0)
LINEAR = Market("SOL_USDC-PERPETUAL", 143.2711, 0.0013, 0.37)

STEPS = (
    *("change",) * 12,
    *("trade",) * 4,
    *("tick",) * 3,
    *("snapshot", "ticker", "ticker", "malformed", "malformed"),
    *("crossed", "emptied", "unlinked", "duplicate", "disconnect", "connect", "gap", "other"),
    *("stale", "jump", "future", "followed", "resent"),
)
BREAKING = frozenset(
    ("crossed", "unlinked", "malformed", "future", "disconnect", "connect", "gap", "jump")
)
MAX_SILENCE_MS = 20_000
BROKEN: list[dict[str, Any]] = [
    {"timestamp": "100"},
    {"timestamp": 1e12},
    {"timestamp": None},
    {"timestamp": -1},
    {"timestamp": 10**14},
    {"change_id": True},
    {"change_id": 2**63},
    {"prev_change_id": "1"},
    {"prev_change_id": -1},
    {"type": "delta"},
    {"instrument_name": "X-PERPETUAL"},
    {"instrument_name": None},
    {"bids": None},
    {"asks": {}},
    {"bids": [["new", 100.0]]},
    {"asks": [["new", 100.0, 5, 5]]},
    {"bids": [["put", 100.0, 5]]},
    {"bids": [[None, 100.0, 5]]},
    {"bids": [["new", "100.0", 5]]},
    {"bids": [["new", 0.0, 5]]},
    {"asks": [["change", -100.0, 5]]},
    {"bids": [["new", 100.0, -5]]},
    {"bids": [["delete", 100.0, -5]]},
    {"bids": [["new", 100.0, 0.0]]},
    {"asks": [["change", 100.0, 0]]},
    {"bids": [["new", 100.0, float("nan")]]},
    {"asks": [["new", float("inf"), 1.0]]},
    {"bids": [["new", 100.0, 1e300]]},
    {"bids": [["new", 100.0, 1e15]]},
    {"bids": [["new", 100.0, 0.000000001]]},
    {"bids": [["new", 100.0, 10.0], ["new", True, 5]]},
]
KINDS_OF_TRADES: list[dict[str, Any]] = [
    {"liquidation": "T"},
    {"liquidation": "M"},
    {"liquidation": "MT"},
    {"liquidation": "none"},
    {"block_trade_id": "B-1"},
    {"block_rfq_id": 939, "liquidation": "T"},
    {"combo_id": "BTC-FS-27MAR26_PERP", "combo_trade_id": 1154.0},
    {"combo_trade_id": 7, "liquidation": "M"},
    {"combo_id": "C", "block_trade_id": "B-2"},
    {"combo_id": None, "block_trade_id": None},
]
OFFSETS = (0, 0, 0, -1, -99, -250, -251, -1_000, -5_000, -70_000, 40, 1_000, 59_000, 61_000)

steps = st.lists(
    st.tuples(
        st.sampled_from(STEPS),
        st.integers(0, 9),  # how far time goes on
        st.integers(0, 2**16),  # what the step is like: its digits are its choices
    ),
    min_size=1,
    max_size=50,
)
rules = st.sampled_from(
    [
        (100, 300),
        (1_000, 10_000, 60_000),
        (250,),
        (60_000, 86_400_000),
        (100, Span(300, 100)),
        (Span(10_000, 2_500),),
        (60_000, Span(300_000, 60_000), Span(86_400_000, 21_600_000)),
    ]
)
"""The windows: a number is the length of those that do not overlap."""
Lengths = tuple[int | Span, ...]


class Choices:
    """Choices from the digits of one drawn number, so that it shrinks to the first of each."""

    def __init__(self, number: int) -> None:
        self.number = number

    def among(self, count: int) -> int:
        self.number, choice = divmod(self.number * 7 + self.number // 3, count)
        return choice

    def one(self, options: Any) -> Any:
        return options[self.among(len(options))]


@dataclass
class Venue:
    """What the venue says, step by step, with a book of its own to break things knowingly."""

    market: Market
    unit_ms: int
    now_ms: int = START_MS
    change_id: int = 100
    sequence: int = 1
    bids: set[float] = field(default_factory=set)
    asks: set[float] = field(default_factory=set)
    items: list[tuple[Any, ...]] = field(default_factory=list)
    is_broken: bool = False
    """Whether a snapshot is due."""

    def play(self, drawn: list[tuple[str, int, int]]) -> list[tuple[Any, ...]]:
        self.items.append(("connected", 0, "w", False))
        for kind, pace, number in drawn:
            unit = self.unit_ms
            gone = (0, 0, 1, 1, 7, unit // 3, unit - self.now_ms % unit, unit - 1, unit, 5 * unit)
            self.now_ms += gone[pace]
            choices = Choices(number)
            if gone[pace] > MAX_SILENCE_MS and choices.among(8):
                self._tick(choices)  # or all that follows is too far ahead
            if kind == "change" and self.is_broken and choices.among(3):
                kind = "snapshot"
            self.is_broken = kind in BREAKING or (self.is_broken and kind != "snapshot")
            getattr(self, f"_{kind}")(choices)
        return self.items

    # Books

    def _snapshot(self, choices: Choices) -> None:
        self.change_id += 1 + choices.among(3)
        counts = choices.among(14), choices.among(14)
        first = choices.among(4)
        self.bids = {self._price(-first - n * n) for n in range(counts[0])}
        self.asks = {self._price(1 + n * n) for n in range(counts[1])}
        older = choices.one([{"type": "snapshot"}, {}, {"type": "change", "prev_change_id": 0}])
        self._book(
            choices,
            older if choices.among(4) == 0 else {"type": "snapshot"},
            [["new", price, self._size(choices)] for price in sorted(self.bids, reverse=True)],
            [["new", price, self._size(choices)] for price in sorted(self.asks)],
        )

    def _change(self, choices: Choices, **override: Any) -> None:
        bids = self._levels(choices, self.bids, -1)
        asks = self._levels(choices, self.asks, 1)
        previous, self.change_id = self.change_id, self.change_id + 1 + choices.among(3)
        fields = {"type": "change", "prev_change_id": previous}
        self._book(choices, fields | override, override.get("bids", bids), asks)

    def _levels(self, choices: Choices, side: set[float], direction: int) -> list[list[Any]]:
        levels: list[list[Any]] = []
        for _ in range(choices.among(5)):
            price = self._price(direction * choices.among(12) + (direction > 0))
            action = choices.one(["new", "change", "delete", "delete"])
            if action == "delete":
                side.discard(price)
            else:
                side.add(price)
            levels.append([action, price, 0.0 if action == "delete" else self._size(choices)])
        return levels

    def _resent(self, choices: Choices) -> None:
        """A snapshot comes again while the book is live, the same if no change came since."""
        snapshots = [
            item for item in self.items if item[0] == "message" and b'"snapshot"' in item[2]
        ]
        self.items += snapshots[-1:]
        if snapshots and choices.among(2):
            self.items += snapshots[-1:]
        self.is_broken = True  # changes do not follow it

    def _crossed(self, choices: Choices) -> None:
        self._change(choices, bids=[["new", self._price(60), 1.0]])

    def _emptied(self, choices: Choices) -> None:
        gone, self.bids = self.bids, set()
        self._change(choices, bids=[["delete", price, 0.0] for price in sorted(gone)])
        self.bids = set()

    def _unlinked(self, choices: Choices) -> None:
        self.change_id += 2  # changes that never came
        self._change(choices)

    def _duplicate(self, choices: Choices) -> None:
        books = [item for item in self.items if item[0] == "message" and b'"book.' in item[2]]
        if books:
            self.items.append(books[-1 - choices.among(len(books))])

    def _malformed(self, choices: Choices) -> None:
        if choices.among(3):
            self._change(choices, **BROKEN[choices.among(len(BROKEN))])
        else:
            channel = choices.one([self.market.channel, f"trades.{self.market.instrument}.raw"])
            text = choices.one(["", "{", "[]", "null", '{"params":{"channel":"book.', "\x00"])
            self._add(text.encode())
            self._say(channel, choices.one([None, [None], [{}], {}, "x", {"timestamp": 1}]))

    def _future(self, choices: Choices) -> None:
        ahead = 59_000 if self.unit_ms >= 1_000 else 2_000  # or there are too many windows
        self._change(choices, timestamp=self.now_ms + choices.one([ahead, 603_001, 10**9]))

    # Trades and tickers

    def _trade(self, choices: Choices) -> None:
        trades = []
        for _ in range(1 + choices.among(3)):
            self.sequence += choices.one([1, 1, 1, 0, 2])
            trade = {
                "timestamp": self.now_ms + choices.one(OFFSETS),
                "instrument_name": self.market.instrument,
                "price": self._price(choices.among(5)),
                "amount": self._size(choices),
                "direction": choices.one(["buy", "sell"]),
                "trade_seq": choices.one([self.sequence, self.sequence, None, self.sequence - 2]),
            }
            trade |= choices.one([{}, {}, {}, *KINDS_OF_TRADES])
            trades.append(trade)
        self._say(f"trades.{self.market.instrument}.100ms", trades)

    def _ticker(self, choices: Choices) -> None:
        data = {
            "timestamp": self.now_ms + choices.one(OFFSETS),
            "instrument_name": self.market.instrument,
            "mark_price": choices.one([self._price(1), self._price(2), None]),
            "index_price": self._price(choices.among(9)),
            "funding_8h": choices.one([-1.42e-4, 0.0, None]),
            "open_interest": choices.one([1.0002e6, 25004, None]),
        }
        self._say(f"ticker.{self.market.instrument}.100ms", data)

    # Marks

    def _tick(self, choices: Choices, quiet_ms: int = 0) -> None:
        lead = choices.one([3_000, 3_000, 3_000 + min(self.unit_ms, 1_000), 0, -500, -20_000])
        self.items.append(("tick", self.now_ms + lead, quiet_ms))

    def _stale(self, choices: Choices) -> None:
        self._tick(choices, quiet_ms=choices.one([3_001, 3_000, 60_000]))

    def _jump(self, choices: Choices) -> None:
        """Time goes on for more than an hour, up to two days."""
        self.now_ms += HOUR_MS + choices.one([120_000, 130_003, HOUR_MS, 47 * HOUR_MS, 200_250])
        if choices.among(3) == 0:
            self.now_ms -= self.now_ms % 60_000
        self.items.append(("tick", self.now_ms + choices.one([3_000, 3_001, 3_400]), 0))

    def _followed(self, choices: Choices) -> None:
        """The venue confirms the trades channel, or it is given up."""
        self.items.append(("trades_followed", choices.among(3) > 0))

    def _disconnect(self, _: Choices) -> None:
        self.items.append(("disconnected", 0, "closed"))

    def _connect(self, _: Choices) -> None:
        self.items.append(("connected", 0, "w", False))

    def _gap(self, choices: Choices) -> None:
        channel = choices.one([self.market.channel, "book.X.raw"])
        self.items.append(("gap", 0, channel, 1, 2))

    def _other(self, choices: Choices) -> None:
        quote = {"timestamp": self.now_ms, "instrument_name": self.market.instrument}
        self._say(choices.one([f"quote.{self.market.instrument}", "platform_state"]), quote)

    # Words

    def _book(
        self, choices: Choices, fields: dict[str, Any], bids: list[Any], asks: list[Any]
    ) -> None:
        data = {
            "timestamp": self.now_ms - choices.one([0, 0, 0, 1, 400]),
            "change_id": self.change_id,
            "instrument_name": self.market.instrument,
            "bids": bids,
            "asks": asks,
        }
        self._say(self.market.channel, data | fields)

    def _say(self, channel: str, data: Any) -> None:
        message = {
            "jsonrpc": "2.0",
            "method": "subscription",
            "params": {"channel": channel, "data": data},
        }
        # The venue writes no spaces, and that is the quick path; other writers may.
        separators = (",", ":") if self.sequence % 5 else (", ", ": ")
        self._add(json.dumps(message, separators=separators).encode())

    def _add(self, message: bytes) -> None:
        # The receiver's clock runs beside the venue's, and now and then goes back a little.
        received_ms = self.now_ms - self.change_id % 3 * 400
        self.items.append(("message", received_ms * 1_000_000, message))

    def _price(self, ticks: int) -> float:
        return round(self.market.price + ticks * self.market.tick, 4)

    def _size(self, choices: Choices) -> float:
        return round(self.market.lot * (1 + choices.among(40)), 2)


def split(lengths: Lengths) -> tuple[tuple[int, ...], tuple[Span, ...]]:
    """Return the lengths of the windows that do not overlap, and the spans of those that do."""
    hopping = tuple(length for length in lengths if isinstance(length, Span))
    return tuple(length for length in lengths if not isinstance(length, Span)), hopping


def unit_of(lengths: Lengths) -> int:
    """Return the least time between two edges of windows."""
    plain, hopping = split(lengths)
    return min((*plain, *(span.hop_ms for span in hopping)))


def reference(market: Market, items: list[Any], lengths: Lengths, grace_ms: int) -> Any:
    """Return the windows of the reference, as published."""
    plain, hopping = split(lengths)
    windows = reference_windows(
        items,
        instrument=market.instrument,
        channel=market.channel,
        lengths_ms=plain,
        hopping=hopping,
        grace_ms=grace_ms,
    )
    return [encode_window(published(window)) for window in windows]


class Writer:
    """Turns items into frames of any size; numbers them within their session."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.session = 0
        self.sequence = 0

    def frames(self, items: list[tuple[Any, ...]], sizes: list[int]) -> list[Frame]:
        """Return frames of these sizes, in turn, but never across a session or a tick."""
        frames: list[Frame] = []
        held: list[Item] = []
        for item in items:
            if item[0] in ("tick", "connected"):
                frames += self._frame(held)
                held = []
            if item[0] == "tick":
                frames.append(self._of(0, [Tick(0, item[1], item[2])], instrument=""))
                continue
            if item[0] == "connected":
                self.session, self.sequence = self.session + 1, 0
            held.append(as_item(item))
            if len(held) >= sizes[len(frames) % len(sizes)]:
                frames += self._frame(held)
                held = []
        return frames + self._frame(held)

    def _frame(self, items: list[Item]) -> list[Frame]:
        if not items:
            return []
        self.sequence += 1
        return [self._of(self.sequence, items)]

    def _of(self, sequence: int, items: list[Item], instrument: str | None = None) -> Frame:
        name = self.market.instrument if instrument is None else instrument
        session = f"session-{self.session}"
        return Frame(FRAME_VERSION, name, self.market.channel, session, sequence, items)


def as_item(item: tuple[Any, ...]) -> Item:
    """Return a reference's item as the feed has it."""
    match item:
        case ("message", received_ns, message):
            return Notification(received_ns, message)
        case ("connected", received_ns, worker, simulated):
            return Connected(received_ns, worker, simulated)
        case ("disconnected", received_ns, reason):
            return Disconnected(received_ns, reason)
        case ("trades_followed", is_followed):
            return TradesFollowed(0, is_followed)
        case ("gap", received_ns, channel, expected, found):
            return GapFound(received_ns, channel, expected, found)
    raise ValueError(f"{item} is no item of a frame")


def as_reference(item: Item) -> tuple[Any, ...]:
    """Return an item of a frame as the reference takes it."""
    match item:
        case Notification():
            return ("message", item.received_ns, item.message)
        case Connected():
            return ("connected", item.received_ns)
        case Disconnected():
            return ("disconnected", item.received_ns)
        case GapFound():
            return ("gap", item.received_ns, item.channel)
        case TradesFollowed():
            return ("trades_followed", item.is_followed)
        case Tick():
            return ("tick", item.venue_ms, item.quiet_ms)


class Run:
    """A processor that is fed, and what it published."""

    def __init__(self, market: Market, lengths: Lengths, grace_ms: int) -> None:
        plain, hopping = split(lengths)
        self.rules = Rules(plain, grace_ms, STALE_AFTER_MS, hopping)
        self.processor = Processor(market.instrument, self.rules)
        self.windows: list[tuple[int, int, int, bytes]] = []
        self.refused: list[str] = []

    def feed(self, frames: list[Frame]) -> Run:
        for frame in frames:
            outcome = self.processor.feed(frame)
            self.refused += [reason for _, reason, _ in outcome.refused]
            for window in outcome.windows:
                length_ms = window["length_ms"]
                place = window["end_ms"], length_ms, window.get("hop_ms", length_ms)
                self.windows.append((*place, encode_window(window)))
        return self

    def recover(self) -> Run:
        """Go on with what a record of the state holds, as after a restart."""
        codec, key = BooksCodec(self.rules), self.processor.name.encode()
        record = codec.dump(key, self.processor, self.processor.position)
        self.processor = codec.load(key, record)
        assert codec.dump(key, self.processor, self.processor.position) == record
        return self

    def published(self) -> list[bytes]:
        """Return the windows by end, length and hop."""
        return [encoded for *_, encoded in sorted(self.windows)]
