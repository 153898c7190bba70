"""The catalogue: which perpetuals the venue lists, with their units and their character.

Inside the venue a price is an integer number of ticks and an amount an integer number of lots
(contracts), so that no float error can leak; the instrument knows how to write both.
"""

from dataclasses import dataclass

from exchange.numbers import Raw, encode, format_amount, format_scaled

PERPETUAL_EXPIRATION_MS = 32_503_708_800_000
LISTED_MS = 1_534_242_287_000
FIRST_INSTRUMENT_ID = 210_838


@dataclass(frozen=True, kw_only=True, slots=True)
class Instrument:
    name: str
    base: str
    quote: str
    inverse: bool
    tick_units: int  # a tick is tick_units / 10**price_decimals
    price_decimals: int
    lot_units: int  # a lot is lot_units / 10**amount_decimals, in USD (inverse) or base coin
    amount_decimals: int
    start_tick: int
    levels: int  # populated levels a side that the flow returns to
    typical_lots: float
    weight: float  # share of the flow, relative to the other instruments
    number: int

    @property
    def settlement(self) -> str:
        return self.base if self.inverse else self.quote

    @property
    def tick_size(self) -> float:
        return self.price_float(1)

    @property
    def contract_size(self) -> float:
        return float(self.lot_units / 10**self.amount_decimals)

    @property
    def index_name(self) -> str:
        return f"{self.base}_{self.quote}".lower()

    def price(self, tick: int) -> str:
        return format_scaled(tick * self.tick_units, self.price_decimals)

    def price_float(self, tick: float) -> float:
        return float(tick * self.tick_units / 10**self.price_decimals)

    def amount(self, lots: int) -> str:
        return format_amount(lots * self.lot_units, self.amount_decimals)

    def usd(self, tick: int, lots: int) -> float:
        """Value of an amount in USD."""
        amount = lots * self.contract_size
        return amount if self.inverse else amount * self.price_float(tick)

    def base_coin(self, tick: int, lots: int) -> float:
        """Value of an amount in the base coin."""
        amount = lots * self.contract_size
        return amount / self.price_float(tick) if self.inverse else amount


def catalogue(count: int) -> list[Instrument]:
    """The first `count` instruments; the same number always means the same instruments."""
    known = [_instrument(i, row) for i, row in enumerate(_KNOWN[:count])]
    return known + [_synthetic(i) for i in range(len(known), count)]


def known_instrument(name: str) -> Instrument | None:
    """The catalogue's entry of that name, for what a recording does not tell."""
    return next((item for item in catalogue(len(_KNOWN)) if item.name == name), None)


def describe(instrument: Instrument, state: str) -> dict[str, object]:
    """The instrument as `public/get_instruments` lists it."""
    steps: list[object] = []
    if not instrument.inverse and instrument.start_tick >= _TICK_STEP_FROM:
        above = Raw(instrument.price(4 * instrument.start_tick))
        step = Raw(instrument.price(10))
        steps.append({"above_price": above, "tick_size": step})
    return {
        "tick_size": Raw(instrument.price(1)),
        "tick_size_steps": steps,
        "taker_commission": 0.0005,
        "maker_commission": 0.0,
        "settlement_period": "perpetual",
        "settlement_currency": instrument.settlement,
        "rfq": False,
        "quote_currency": instrument.quote,
        "price_index": instrument.index_name,
        "min_trade_amount": Raw(format_scaled(instrument.lot_units, instrument.amount_decimals)),
        "max_liquidation_commission": 0.0075,
        "max_leverage": 50,
        "kind": "future",
        "is_active": state in ("open", "locked", "halted"),
        "state": state,
        "instrument_name": instrument.name,
        "instrument_id": FIRST_INSTRUMENT_ID + instrument.number,
        "instrument_type": "reversed" if instrument.inverse else "linear",
        "future_type": "reversed" if instrument.inverse else "linear",
        "expiration_timestamp": PERPETUAL_EXPIRATION_MS,
        "creation_timestamp": LISTED_MS + 1_000 * instrument.number,
        "counter_currency": instrument.quote,
        "contract_size": Raw(encode(instrument.contract_size)),
        "block_trade_tick_size": Raw(instrument.price(1)),
        "block_trade_min_trade_amount": 200_000,
        "block_trade_commission": 0.00025,
        "base_currency": instrument.base,
        "simulated": True,
    }


# name, tick units, price decimals, lot units, amount decimals, start tick, levels, lots, weight
_Row = tuple[str, int, int, int, int, int, int, float, float]
_KNOWN: tuple[_Row, ...] = (
    ("BTC-PERPETUAL", 5, 1, 10, 0, 153_828, 1_000, 400.0, 10.0),
    ("ETH-PERPETUAL", 5, 2, 1, 0, 53_643, 450, 2_500.0, 8.0),
    ("BTC_USDC-PERPETUAL", 1, 0, 1, 4, 76_902, 265, 300.0, 5.0),
    ("ETH_USDC-PERPETUAL", 5, 2, 1, 3, 53_641, 240, 900.0, 4.0),
    ("SOL_USDC-PERPETUAL", 1, 2, 1, 1, 14_137, 220, 120.0, 3.0),
    ("XRP_USDC-PERPETUAL", 1, 4, 1, 0, 22_481, 200, 800.0, 2.0),
    ("DOGE_USDC-PERPETUAL", 1, 5, 1, 0, 18_402, 180, 9_000.0, 1.2),
    ("ADA_USDC-PERPETUAL", 1, 4, 1, 0, 6_712, 150, 2_500.0, 0.8),
    ("AVAX_USDC-PERPETUAL", 1, 3, 1, 1, 22_046, 150, 250.0, 0.8),
    ("LINK_USDC-PERPETUAL", 1, 3, 1, 1, 16_520, 140, 300.0, 0.6),
    ("LTC_USDC-PERPETUAL", 1, 2, 1, 2, 9_273, 130, 500.0, 0.4),
    ("DOT_USDC-PERPETUAL", 1, 4, 1, 1, 38_950, 120, 900.0, 0.2),
    ("BNB_USDC-PERPETUAL", 1, 2, 1, 2, 69_338, 110, 150.0, 0.08),
    ("TRX_USDC-PERPETUAL", 1, 5, 10, 0, 31_077, 100, 300.0, 0.02),
)

# A linear instrument that starts this far from zero also gets a second, coarser tick far above.
_TICK_STEP_FROM = 50_000

# Synthetic instruments repeat these shapes; their weights span three orders of magnitude.
_SYNTHETIC_SHAPES: tuple[tuple[int, int, int, int, int, int], ...] = (
    # tick units, price decimals, lot units, amount decimals, start tick, levels
    (1, 2, 1, 2, 12_345, 140),
    (1, 4, 1, 0, 4_210, 100),
    (1, 3, 1, 1, 31_870, 180),
    (5, 2, 1, 3, 24_990, 120),
    (1, 6, 10, 0, 8_765, 160),
)


def _instrument(number: int, row: _Row) -> Instrument:
    name, tick, price_decimals, lot, amount_decimals, start, levels, lots, weight = row
    base, _, linear_quote = name.removesuffix("-PERPETUAL").partition("_")
    return Instrument(
        name=name,
        base=base,
        quote=linear_quote or "USD",
        inverse=not linear_quote,
        tick_units=tick,
        price_decimals=price_decimals,
        lot_units=lot,
        amount_decimals=amount_decimals,
        start_tick=start,
        levels=levels,
        typical_lots=lots,
        weight=weight,
        number=number,
    )


def _synthetic(number: int) -> Instrument:
    index = number - len(_KNOWN) + 1
    shape = _SYNTHETIC_SHAPES[index % len(_SYNTHETIC_SHAPES)]
    tick, price_decimals, lot, amount_decimals, start, levels = shape
    return Instrument(
        name=f"T{index:03d}_USDC-PERPETUAL",
        base=f"T{index:03d}",
        quote="USDC",
        inverse=False,
        tick_units=tick,
        price_decimals=price_decimals,
        lot_units=lot,
        amount_decimals=amount_decimals,
        start_tick=start + 37 * index,
        levels=levels,
        typical_lots=200.0,
        weight=2.0 / (1 + index % 40) ** 1.5,
        number=number,
    )
