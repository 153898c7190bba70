"""Index price, mark price and funding: what the venue states beside the book of an instrument."""

from random import Random

from exchange.instruments import Instrument
from exchange.numbers import Raw, format_float

INDEX_FOLLOW = 0.2  # share of the way to the mid that the index goes each second
INDEX_NOISE = 2e-6
MAX_FUNDING = 0.0005
FUNDING_DAMPER = 0.00025


class IndexPrice:
    """Index and funding move once a second; the mark price goes with the mid at once."""

    __slots__ = ("_decimals", "_marked", "_random", "funding", "index", "index_price", "seconds")

    def __init__(self, instrument: Instrument, seed: int) -> None:
        self.seconds = 0  # how often index and funding have moved
        self.index = instrument.price_float(instrument.start_tick)
        self.funding = 0.0001
        self._decimals = instrument.price_decimals + 1  # finer than a tick
        self._random = Random(f"{seed}/{instrument.name}/index")
        self.index_price = self.rounded(self.index)
        self._marked = self.index, self.index_price  # the mid, and the mark price that it makes

    def pass_second(self, mid: float) -> None:
        """Move the index towards the mid, and the funding rate with the premium."""
        self.index += INDEX_FOLLOW * (mid - self.index)
        self.index *= 1 + self._random.gauss(0.0, INDEX_NOISE)
        premium = mid / self.index - 1
        damped = max(0.0, abs(premium) - FUNDING_DAMPER) * (1 if premium > 0 else -1)
        self.funding += 0.05 * (max(-MAX_FUNDING, min(MAX_FUNDING, damped)) - self.funding)
        self.seconds += 1
        self.index_price = self.rounded(self.index)
        self._marked = self.index, self.index_price

    def mark_price(self, mid: float) -> Raw:
        """Half way between mid and index; written anew when one of them has moved."""
        marked_mid, text = self._marked
        if mid != marked_mid:
            text = self.rounded((mid + self.index) / 2)
            self._marked = mid, text
        return text

    def rounded(self, price: float) -> Raw:
        """A price as index and mark price are written."""
        return Raw(format_float(round(price, self._decimals)))
