"""One instrument of the model: its book, its order flow, and what its channels of state say."""

import json
from math import floor

from exchange.chains import Chain
from exchange.channels import INTERVALS, Channel
from exchange.engine import Book, Direction
from exchange.flow import OrderFlow
from exchange.index_price import IndexPrice
from exchange.instruments import Instrument
from exchange.numbers import Raw, encode
from exchange.tape import Tape
from exchange.ticker import Ticker, best, rate
from exchange.venue import Fields

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
        self._reference = IndexPrice(instrument, seed)
        self._ticker = Ticker(instrument, self.tape, self._reference)

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
        index, mark = self._reference.index_price, self._reference.mark_price(self._mid())
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
        """Let index and funding rate follow the book."""
        self._reference.pass_second(self._mid())
        self.version += 1

    def render(self, channel: Channel) -> Rendered:
        """The state as that channel shows it."""
        match channel.topic:
            case "ticker":
                text = self._ticker_text()
            case "grouped":
                return self._grouped(channel)
            case "perpetual":
                interest, index = rate(self._reference.funding), self._reference.index_price
                text = f'{{"interest":{interest},"index_price":{index}}}'
            case "quote":
                name = encode(self.instrument.name)
                text = f'{{"instrument_name":{name},{best(self.instrument, self.book)}}}'
            case _:
                raise ValueError(f"{channel.name} is not a channel of state")
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
            # What the ticker says, each number as it is written there.
            **json.loads(self._ticker_text(), parse_float=Raw, parse_int=Raw),
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

    def _ticker_text(self) -> str:
        return self._ticker.text(self.state, self.book, self._mid())

    def _mid(self) -> float:
        """The mid price; with a side empty, the index stands in."""
        bid, ask = self.book.bids.best, self.book.asks.best
        if bid is None or ask is None:
            return self._reference.index
        return self.instrument.price_float((bid + ask) / 2)
