"""The tape of one instrument: its trades as the venue prints them, numbered without a hole.

Beside the trades of the book there are block trades, agreed elsewhere and printed at a price away
from the book, and liquidations: of the taker, of the maker or, rarely, of both. The tape draws from
a generator of its own, so the order flow is the same with or without it.
"""

from random import Random

from exchange.channels import INTERVALS
from exchange.engine import Direction, Fill
from exchange.flow import Taken
from exchange.instruments import Instrument
from exchange.numbers import Raw, format_float

BLOCK_SHARE = 0.01  # of market orders that are followed by a block trade
BLOCK_LOTS = 50  # times the typical size of an order
MAX_BLOCK_DISTANCE = 0.003  # of the price
LIQUIDATED = ("T",) * 14 + ("M",) * 5 + ("MT",)
MATCH_IDS_PER_MS = 131_072


class Tape:
    """Prints trades for each interval, and keeps what a ticker tells of them."""

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self.pending: dict[str, list[str]] = {interval: [] for interval in INTERVALS[:2]}
        self.last_tick = self.open_tick = instrument.start_tick
        self.low_tick = self.high_tick = instrument.start_tick
        self.volume_base = 0.0
        self.volume_usd = 0.0
        self.interest_lots = int(instrument.typical_lots * 50_000)
        self._instrument = instrument
        self._random = Random(f"{seed}/{instrument.name}/tape")
        # The number of the last trade; it grows with each.
        self.trade_seq = 140_284_000 - 1_000_000 * (instrument.number % 97)
        self._last_tick_direction = 0
        self._blocks = 0

    def print(self, taken: Taken, now_us: int, trade_id: int, index: Raw, mark: Raw) -> int:
        """Print a market order's trades, now and then a block trade too; returns how many."""
        liquidated = self._random.choice(LIQUIDATED) if taken.liquidation else None
        extra = f',"liquidation":"{liquidated}"' if liquidated else ""
        context = f'"index_price":{index}', f'"mark_price":{mark}'
        for offset, fill in enumerate(taken.fills):
            self._print(fill, taken.direction, now_us, trade_id + offset, context, extra)
            self.interest_lots += fill.lots if self.trade_seq % 2 else -fill.lots
            self.low_tick = min(self.low_tick, fill.price)
            self.high_tick = max(self.high_tick, fill.price)
        printed = len(taken.fills)
        if self._random.random() < BLOCK_SHARE:
            self._blocks += 1
            block = f',"block_trade_id":"BLOCK-{self._blocks}","block_trade_leg_count":1'
            self._print(self._agree(), taken.direction, now_us, trade_id + printed, context, block)
            printed += 1
        return printed

    def _agree(self) -> Fill:
        """Price and size of a block trade."""
        away = 1 + self._random.uniform(-MAX_BLOCK_DISTANCE, MAX_BLOCK_DISTANCE)
        lots = int(self._instrument.typical_lots * BLOCK_LOTS)
        return Fill(max(1, round(self.last_tick * away)), lots)

    def _print(
        self,
        fill: Fill,
        direction: Direction,
        now_us: int,
        trade_id: int,
        context: tuple[str, str],
        extra: str,
    ) -> None:
        instrument = self._instrument
        self.trade_seq += 1
        is_block = "block_trade_id" in extra
        tick_direction = self._last_tick_direction if is_block else self._moved_to(fill.price)
        match_id = now_us // 1_000 * MATCH_IDS_PER_MS + trade_id % MATCH_IDS_PER_MS
        prefix = "" if instrument.settlement == "BTC" else f"{instrument.settlement}-"
        text = (
            f'{{"timestamp":{now_us // 1_000},"price":{instrument.price(fill.price)},'
            f'"amount":{instrument.amount(fill.lots)},"direction":"{_WORDS[direction]}",'
            f'{context[0]},"instrument_name":"{instrument.name}",'
            f'"trade_seq":{self.trade_seq},{context[1]},'
            f'"tick_direction":{tick_direction},"trade_id":"{prefix}{trade_id}"'
            f'{extra},"contracts":{format_float(float(fill.lots))},'
            f'"starbase_match_id":{match_id},"starbase_timestamp":{now_us * 1_000}}}'
        )
        for pending in self.pending.values():
            pending.append(text)
        self.volume_base += instrument.base_coin(fill.price, fill.lots)
        self.volume_usd += instrument.usd(fill.price, fill.lots)

    def _moved_to(self, price: int) -> int:
        """0 plus, 1 zero-plus, 2 minus, 3 zero-minus, against the trade before."""
        if price != self.last_tick:
            self._last_tick_direction = 0 if price > self.last_tick else 2
        elif self._last_tick_direction in (0, 2):
            self._last_tick_direction += 1
        self.last_tick = price
        return self._last_tick_direction


_WORDS: dict[Direction, str] = {1: "buy", -1: "sell"}
