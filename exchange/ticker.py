"""The ticker of one instrument as JSON, each part written anew only when what it tells has changed.

Half of what the venue sends are tickers, and of twenty numbers most are those of the ticker before.
"""

from exchange.engine import Book
from exchange.index_price import IndexPrice
from exchange.instruments import Instrument
from exchange.numbers import encode, format_float
from exchange.tape import Tape

PRICE_BAND = 0.015  # min_price and max_price around the index


class Ticker:
    """Writes what tape, reference and book of the instrument say; the time is left out."""

    __slots__ = (
        "_band",
        "_instrument",
        "_interest",
        "_last",
        "_rates",
        "_reference",
        "_seconds",
        "_stats",
        "_tape",
        "_trade_seq",
    )

    def __init__(self, instrument: Instrument, tape: Tape, reference: IndexPrice) -> None:
        self._instrument = instrument
        self._tape = tape
        self._reference = reference
        self._note_trades()
        self._note_second()

    def text(self, state: str, book: Book, mid: float) -> str:
        """The ticker, an object without timestamp."""
        if self._trade_seq != self._tape.trade_seq:
            self._note_trades()
        if self._seconds != self._reference.seconds:
            self._note_second()
        return (
            f'{{{self._stats},"state":"{state}",{self._interest},{self._band},'
            f'"mark_price":{self._reference.mark_price(mid)},{self._last},{self._rates},'
            f"{best(self._instrument, book)}}}"
        )

    def _note_trades(self) -> None:
        tape, price = self._tape, self._instrument.price
        self._trade_seq = tape.trade_seq
        volume_usd = format_float(round(tape.volume_usd, 2))
        change_percent = format_float(round(100 * (tape.last_tick / tape.open_tick - 1), 4))
        self._stats = (
            f'"stats":{{"volume_usd":{volume_usd},"volume_notional":{volume_usd},'
            f'"volume":{format_float(round(tape.volume_base, 8))},"price_change":{change_percent},'
            f'"low":{price(tape.low_tick)},"high":{price(tape.high_tick)}}}'
        )
        self._interest = (
            f'"settlement_price":{price(tape.open_tick)},'
            f'"open_interest":{self._instrument.amount(tape.interest_lots)}'
        )
        self._last = f'"last_price":{price(tape.last_tick)}'

    def _note_second(self) -> None:
        reference = self._reference
        self._seconds = reference.seconds
        index, funding = reference.index, reference.funding
        self._band = (
            f'"min_price":{reference.rounded(index * (1 - PRICE_BAND))},'
            f'"max_price":{reference.rounded(index * (1 + PRICE_BAND))}'
        )
        self._rates = (
            f'"interest_value":{rate(100 * funding)},'
            f'"instrument_name":{encode(self._instrument.name)},'
            f'"index_price":{reference.index_price},"funding_8h":{rate(funding)},'
            f'"estimated_delivery_price":{reference.index_price},'
            f'"current_funding":{rate(0.5 * funding)}'
        )


def best(instrument: Instrument, book: Book) -> str:
    """Best prices and amounts; an empty side has price 0 and amount 0, as on the wire."""
    bid, ask = book.bids.best or 0, book.asks.best or 0
    return (
        f'"best_bid_price":{instrument.price(bid)},'
        f'"best_bid_amount":{instrument.amount(book.bids.sizes.get(bid, 0))},'
        f'"best_ask_price":{instrument.price(ask)},'
        f'"best_ask_amount":{instrument.amount(book.asks.sizes.get(ask, 0))}'
    )


def rate(value: float) -> str:
    """A rate of funding or interest."""
    return format_float(round(value, 8))
