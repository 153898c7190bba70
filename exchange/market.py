"""One instrument of the model: book, order flow, tape, index, and its channels of state."""

from collections.abc import Mapping
from math import floor
from random import Random

from exchange.chains import Chain
from exchange.channels import INTERVALS, Channel
from exchange.engine import Book, Direction
from exchange.flow import OrderFlow
from exchange.instruments import Instrument
from exchange.numbers import Raw, encode, format_float
from exchange.tape import Tape
from exchange.venue import Fields

INDEX_FOLLOW = 0.2  # share of the way to the mid that the index goes each second
INDEX_NOISE = 2e-6
MAX_FUNDING = 0.0005
FUNDING_DAMPER = 0.00025
PRICE_BAND = 0.015  # min_price and max_price around the index

Rendered = tuple[str, str]  # what decides whether there is news; the data as JSON


class Market:
    def __init__(self, instrument: Instrument, seed: int, events_per_s: float, now_us: int) -> None:
        self.instrument = instrument
        self.state = "open"
        self.flow = OrderFlow(instrument, seed, events_per_s)
        self.book = Book()
        self.flow.open(self.book)
        self.book.timestamp_ms = now_us // 1_000
        self.chains: dict[str, Chain] = {}
        self.tape = Tape(instrument, seed)
        self.version = 0  # grows with everything that a ticker could show
        self._random = Random(f"{seed}/{instrument.name}/index")
        self._index = instrument.price_float(instrument.start_tick)
        self._funding = 0.0001

    def start_chains(self, change_id: int) -> None:
        """From here on the channels tell the changes of the book."""
        self.book.change_id = change_id
        for interval in INTERVALS:
            self.chains[interval] = Chain(self.instrument, interval, self.book)

    def act(self, now_us: int, change_id: int, next_trade_id: int) -> int:
        """One order of the flow; returns how many trades it made."""
        taken = self.flow.act(self.book)
        self.book.change_id = change_id
        self.book.timestamp_ms = now_us // 1_000
        self.version += 1
        if taken is None:
            return 0
        index, mark = self._index_price(), self._mark_price()
        return self.tape.print(taken, now_us, next_trade_id, index, mark)

    def set_state(self, state: str) -> None:
        self.state = state
        self.version += 1

    def restart(self, change_id: int) -> None:
        """Continue the book under an id that has nothing to do with those before."""
        self.book.change_id = change_id
        for chain in self.chains.values():
            chain.restart()

    def pass_second(self) -> None:
        """Move the index towards the mid, and the funding rate with the premium."""
        mid = self._mid()
        self._index += INDEX_FOLLOW * (mid - self._index)
        self._index *= 1 + self._random.gauss(0.0, INDEX_NOISE)
        premium = mid / self._index - 1
        damped = max(0.0, abs(premium) - FUNDING_DAMPER) * (1 if premium > 0 else -1)
        self._funding += 0.05 * (max(-MAX_FUNDING, min(MAX_FUNDING, damped)) - self._funding)
        self.version += 1

    def render(self, channel: Channel) -> Rendered:
        """The state as that channel shows it."""
        match channel.topic:
            case "grouped":
                return self._grouped(channel)
            case "ticker":
                return self._stamped(self._ticker_fields())
            case "perpetual":
                body: Fields = {
                    "interest": self._rate(self._funding),
                    "index_price": self._index_price(),
                }
            case "quote":
                body = {"instrument_name": self.instrument.name, **self._best()}
            case _:
                raise ValueError(f"{channel.name} is not a channel of state")
        text = encode(body)
        return text, f'{{"timestamp":{self.book.timestamp_ms},{text[1:]}'

    def order_book(self, depth: int) -> Fields:
        book, instrument = self.book, self.instrument
        sides = {
            name: [
                [Raw(instrument.price(price)), Raw(instrument.amount(lots))]
                for price, lots in side.top(depth)
            ]
            for name, side in (("bids", book.bids), ("asks", book.asks))
        }
        return {
            "timestamp": book.timestamp_ms,
            **self._ticker_fields(),
            "change_id": book.change_id,
            **sides,
        }

    def _grouped(self, channel: Channel) -> Rendered:
        step = self._group_ticks(channel.group)
        bids = self._group(1, step, channel.depth)
        asks = self._group(-1, step, channel.depth)
        window = f'"instrument_name":"{self.instrument.name}","bids":[{bids}],"asks":[{asks}]'
        ids = f'"timestamp":{self.book.timestamp_ms},"change_id":{self.book.change_id}'
        return window, f"{{{ids},{window}}}"

    def _group(self, direction: Direction, step: int, depth: int) -> str:
        """The best `depth` groups; bids are rounded down to a group's price and asks up."""
        groups: dict[int, int] = {}
        side = self.book.side(direction)
        for price, lots in side.top(len(side) if step > 1 else depth):
            key = price if step == 1 else direction * floor(direction * price / step) * step
            if key not in groups and len(groups) == depth:
                break
            groups[key] = groups.get(key, 0) + lots
        price_text, amount_text = self.instrument.price, self.instrument.amount
        return ",".join(f"[{price_text(key)},{amount_text(lots)}]" for key, lots in groups.items())

    def _group_ticks(self, group: str) -> int:
        if group == "none":
            return 1
        match self.instrument.name:
            case "BTC-PERPETUAL":
                return int(group) * 2  # steps in USD over ticks of 0.5
            case "ETH-PERPETUAL":
                return int(group) // 5  # steps in hundredths of a USD over ticks of 0.05
        return int(group)

    def _stamped(self, fields: Fields) -> Rendered:
        """Fields that are news when one of them differs, with the time before them."""
        text = encode(fields)
        return text, f'{{"timestamp":{self.book.timestamp_ms},{text[1:]}'

    def _ticker_fields(self) -> Fields:
        price, tape = self.instrument.price, self.tape
        stats: Fields = {
            "volume_usd": round(tape.volume_usd, 2),
            "volume_notional": round(tape.volume_usd, 2),
            "volume": round(tape.volume_base, 8),
            "price_change": round(100 * (tape.last_tick / tape.open_tick - 1), 4),
            "low": Raw(price(tape.low_tick)),
            "high": Raw(price(tape.high_tick)),
        }
        return {
            "stats": stats,
            "state": self.state,
            "settlement_price": Raw(price(tape.open_tick)),
            "open_interest": Raw(self.instrument.amount(tape.interest_lots)),
            "min_price": self._rounded(self._index * (1 - PRICE_BAND)),
            "max_price": self._rounded(self._index * (1 + PRICE_BAND)),
            "mark_price": self._mark_price(),
            "last_price": Raw(price(tape.last_tick)),
            "interest_value": self._rate(100 * self._funding),
            "instrument_name": self.instrument.name,
            "index_price": self._index_price(),
            "funding_8h": self._rate(self._funding),
            "estimated_delivery_price": self._index_price(),
            "current_funding": self._rate(0.5 * self._funding),
            **self._best(),
        }

    def _best(self) -> Mapping[str, object]:
        """Best prices and amounts; an empty side has price 0 and amount 0, as on the wire."""
        fields: Fields = {}
        for name, side in (("bid", self.book.bids), ("ask", self.book.asks)):
            best = side.best or 0
            fields[f"best_{name}_price"] = Raw(self.instrument.price(best))
            fields[f"best_{name}_amount"] = Raw(self.instrument.amount(side.sizes.get(best, 0)))
        return fields

    def _mid(self) -> float:
        """The mid price; with a side empty, the index stands in."""
        bid, ask = self.book.bids.best, self.book.asks.best
        if bid is None or ask is None:
            return self._index
        return self.instrument.price_float((bid + ask) / 2)

    def _mark_price(self) -> Raw:
        return self._rounded((self._mid() + self._index) / 2)

    def _index_price(self) -> Raw:
        return self._rounded(self._index)

    def _rounded(self, price: float) -> Raw:
        """A price finer than a tick, as index and mark price are."""
        return Raw(format_float(round(price, self.instrument.price_decimals + 1)))

    def _rate(self, value: float) -> Raw:
        return Raw(format_float(round(value, 8)))
