"""A feed of 131 instruments: what is in USD is the same of inverse and of linear ones.

Pairs of one market each: sizes are USD in the one and coins in the other, chosen so that amount
times price is the same amount of USD.
"""

import json
import random

import pytest

from app.processing.processor import Processor, Rules
from models.frame import FRAME_VERSION, Connected, Frame, Notification, Tick
from orderbook.windows.span import Span

INSTRUMENTS = 131
RULES = Rules((1_000, 5_000), 250, 3_000, (Span(2_000, 1_000),))
START_MS = 1_723_161_600_000
MESSAGES = 16
IN_USD = ("mid_", "spread", "ofi_", "coverage", "status", "trades", "liquidations", "buy_", "sell_")


def notification(channel, data):
    params = {"channel": channel, "data": data}
    message = {"jsonrpc": "2.0", "method": "subscription", "params": params}
    return Notification(START_MS * 1_000_000, json.dumps(message).encode())


class Pair:
    """One market as both instruments tell it; prices are powers of two, so coins are exact."""

    def __init__(self, number):
        self.rng = random.Random(number)
        self.names = f"C{number}-PERPETUAL", f"C{number}_USDC-PERPETUAL"
        self.number = number
        self.at_ms = START_MS
        self.middle = 4.0 ** self.rng.randint(1, 6)

    def price(self, steps):
        return self.middle * (1 + steps / 256)

    def messages(self):
        """Yield the pair of each message."""
        for change_id in range(1, MESSAGES):
            is_first = change_id == 1
            steps = range(1, 13) if is_first else self.rng.sample(range(1, 13), 2)
            usd = {step: self.rng.choice([0, 1, 2, 3]) or is_first for step in steps}
            yield self.book(change_id, usd)
            if change_id % 3 == 0:
                yield self.trade(change_id)
            self.at_ms += self.rng.randint(0, 700)

    def book(self, change_id, usd):
        head = {"timestamp": self.at_ms, "change_id": change_id}
        head["type"] = "snapshot" if change_id == 1 else "change"
        if change_id > 1:
            head["prev_change_id"] = change_id - 1
        for name, linear in zip(self.names, (False, True), strict=True):
            sides = {
                side: [
                    self.level(self.price(sign * step), lots, linear) for step, lots in usd.items()
                ]
                for side, sign in (("bids", -1), ("asks", 1))
            }
            yield notification(f"book.{name}.100ms", head | sides | {"instrument_name": name})

    def level(self, price, lots, linear):
        """Half coins, so that both amounts are multiples of 1e-8."""
        coins = lots * 0.5
        return ["change" if lots else "delete", price, coins if linear else coins * price]

    def trade(self, number):
        direction, price = self.rng.choice(["buy", "sell"]), self.price(1)
        for name, linear in zip(self.names, (False, True), strict=True):
            trade = {
                "timestamp": self.at_ms,
                "instrument_name": name,
                "trade_seq": number,
                "price": price,
                "amount": 2.5 if linear else 2.5 * price,
                "direction": direction,
            }
            yield notification(f"trades.{name}.100ms", [trade])


class Fed:
    """A processor that is fed items as they come, one frame each."""

    def __init__(self, name):
        self.processor = Processor(name, RULES)
        self.windows = []
        self.feed(Connected(0, "worker", False))

    def feed(self, *items):
        processor, number = self.processor, self.processor.sequence + 1
        channel = f"book.{processor.name}.100ms"
        frame = Frame(FRAME_VERSION, processor.name, channel, "session", number, list(items))
        outcome = processor.feed(frame)
        assert outcome.refused == []
        self.windows += outcome.windows


@pytest.fixture(scope="module")
def feeds():
    """The windows of 131 instruments, whose messages come interleaved, and the last one's own."""
    pairs = [Pair(number) for number in range(INSTRUMENTS // 2 + 1)]
    fed = {name: Fed(name) for pair in pairs for name in pair.names}
    del fed[pairs[-1].names[1]]
    assert len(fed) == INSTRUMENTS
    streams = [pair.messages() for pair in pairs]
    for messages in zip(*streams, strict=False):
        for pair, both in zip(pairs, messages, strict=True):
            for name, item in zip(pair.names, both, strict=True):
                if name in fed:
                    fed[name].feed(item)
    end_ms = max(pair.at_ms for pair in pairs) + 8_250
    for each in fed.values():
        each.feed(Tick(0, end_ms, 0))
    return pairs, fed


def test_inverse_and_linear_agree_in_usd(feeds):
    pairs, fed = feeds
    compared = 0
    for pair in pairs[:-1]:
        inverse, linear = (fed[name].windows for name in pair.names)
        assert len(inverse) == len(linear) > 5
        for one, other in zip(inverse, linear, strict=True):
            for name, value in one.items():
                if "usd" in name or name.startswith(IN_USD):
                    assert other[name] == value, (pair.names, one["start_ms"], name)
                    compared += 1
    assert compared > 20_000


def test_each_instrument_has_windows_of_every_span_with_flow(feeds):
    _, fed = feeds
    for each in fed.values():
        spans = {(w["length_ms"], w.get("hop_ms")) for w in each.windows}
        assert spans == {(1_000, None), (5_000, None), (2_000, 1_000)}
        assert any(any(window["ofi_levels_usd"]) for window in each.windows)
        assert sum(w["trades"] or 0 for w in each.windows if w["length_ms"] == 1_000) == 5
        assert {w["trade_gaps"] for w in each.windows[:2]} <= {0, 1, 2}
