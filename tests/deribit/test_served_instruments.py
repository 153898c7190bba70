"""Which instruments are served, and in which unit: by name, and as the venue lists them."""

from __future__ import annotations

from typing import Any

import pytest

from deribit.events import Instrument
from deribit.served_instruments import (
    SERVED,
    NotServed,
    Sizes,
    base_coin,
    is_linear,
    sizes_as_listed,
    sizes_by_name,
    why_not_served,
)
from orderbook.instrument_names import is_instrument_name

IN_USD = Sizes(False, "USD")


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("BTC-PERPETUAL", IN_USD),
        ("SOL-PERPETUAL", IN_USD),
        ("ETH-27DEC24", IN_USD),
        ("BTC-3JAN25", IN_USD),
        ("BTC_USDC-PERPETUAL", Sizes(True, "BTC")),
        ("1000PEPE_USDC-PERPETUAL", Sizes(True, "1000PEPE")),
        ("SOL_USDC-29FEB28", Sizes(True, "SOL")),
        ("BTC_USDT-PERPETUAL", Sizes(True, "BTC")),
        ("ETH_USD-25SEP26", Sizes(True, "ETH")),
    ],
)
def test_names_of_what_is_served(name: str, sizes: Sizes) -> None:
    assert sizes_by_name(name) == sizes
    assert is_linear(name, None) is sizes.linear
    assert base_coin(name) == (sizes.unit if sizes.linear else name.split("-")[0])


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("BTC-27DEC24-50000-C", "it is an option"),
        ("BTC_USDC-3JAN25-50000-P", "it is an option"),
        ("XRP_USDC-30AUG24-0d625-C", "it is an option"),
        ("BTC_USDC", "it is a spot pair"),
        ("ETH_BTC", "it is a spot pair"),
        ("BTC-FS-27DEC24_PERP", "it is a combination of instruments"),
        ("ETH_USDC-FS-27DEC24_PERP", "it is a combination of instruments"),
        ("BTC-CS-27DEC24-50000_60000", "it is a combination of instruments"),
        ("BTC-STRG-27DEC24-50000_60000", "it is a combination of instruments"),
        ("XRP_USDC-CS-30AUG24-0d5_0d6", "it is a combination of instruments"),
        ("BTC_EURR-PERPETUAL", "it is quoted in EURR"),
        ("ETH_BTC-PERPETUAL", "it is quoted in BTC"),
        ("SOL_ETH-27DEC24", "it is quoted in ETH"),
        ("BTCDVOL_USDC-27DEC24", "it is a future on a volatility index"),
        ("BTC-DVOL", "not that of a perpetual or a dated future"),
        ("BTC", "not that of a perpetual or a dated future"),
        ("BTC-PERP", "not that of a perpetual or a dated future"),
        ("BTC-32DEC24", "not that of a perpetual or a dated future"),
        ("BTC-27XXX24", "not that of a perpetual or a dated future"),
        ("BTC-PERPETUAL-X", "not that of a perpetual or a dated future"),
        ("BTC_USDC_USDT-PERPETUAL", "not that of a perpetual or a dated future"),
        ("_USDC-PERPETUAL", "it is no instrument name"),
        ("btc-perpetual", "it is no instrument name"),
        ("BTC-PERPETUAL\n", "it is no instrument name"),
        ("BTC.PERP", "it is no instrument name"),
        ("", "it is no instrument name"),
    ],
)
def test_names_of_what_is_not_served(name: str, why: str) -> None:
    with pytest.raises(NotServed) as refusal:
        sizes_by_name(name)
    said = str(refusal.value)
    assert said.startswith(name if is_instrument_name(name) else repr(name))
    assert why in said
    assert said.endswith(f"{SERVED}.")
    assert why_not_served(name) == said
    assert is_linear(name, None) is None


def listed(name: str, **fields: Any) -> Instrument:
    return Instrument(name, **{"kind": "future", "settlement_period": "month", **fields})


def as_listed(name: str, market: str, base: str, quote: str, settled: str) -> Instrument:
    return listed(
        name,
        instrument_type=market,
        base_currency=base,
        quote_currency=quote,
        settlement_currency=settled,
    )


@pytest.mark.parametrize(
    ("instrument", "sizes"),
    [
        (as_listed("BTC-PERPETUAL", "reversed", "BTC", "USD", "BTC"), IN_USD),
        (as_listed("ETH-25DEC26", "reversed", "ETH", "USD", "ETH"), IN_USD),
        (as_listed("SOL_USDC-25DEC26", "linear", "SOL", "USDC", "USDC"), Sizes(True, "SOL")),
        (as_listed("ETH_USDT-PERPETUAL", "linear", "ETH", "USDT", "USDT"), Sizes(True, "ETH")),
        (as_listed("BTC_USD-PERPETUAL", "linear", "BTC", "USD", "USDC"), Sizes(True, "BTC")),
        # The list decides, whatever the name looks like.
        (as_listed("BTC-PERPETUAL", "linear", "BTC", "USDC", "USDC"), Sizes(True, "BTC")),
        (as_listed("NEW~STYLE.1", "linear", "XAU", "USDC", "USDC"), Sizes(True, "XAU")),
        # What the list leaves out, the name tells.
        (listed("BTC_USDC-PERPETUAL"), Sizes(True, "BTC")),
        (listed("BTC-PERPETUAL", instrument_type="linear"), Sizes(True, "BTC")),
        (Instrument("ETH-25DEC26"), IN_USD),
    ],
)
def test_what_the_venue_lists_and_is_served(instrument: Instrument, sizes: Sizes) -> None:
    assert sizes_as_listed(instrument) == sizes


@pytest.mark.parametrize(
    ("instrument", "why"),
    [
        (Instrument("BTC-25DEC26-9000-C", kind="option", instrument_type="reversed"), "an option"),
        (listed("BTC-PERPETUAL", kind="option"), "lists it as option"),
        (listed("BTC-FS-25DEC26_PERP", kind="future_combo"), "a combination"),
        (as_listed("BTC_EURR-PERPETUAL", "linear", "BTC", "EURR", "EURR"), "quoted in EURR"),
        (as_listed("BTC-PERPETUAL", "linear", "BTC", "EURR", "EURR"), "quoted in EURR"),
        (as_listed("ETH_BTC-25DEC26", "reversed", "ETH", "BTC", "ETH"), "quoted in BTC"),
        (as_listed("BTC-PERPETUAL", "reversed", "BTC", "USD", "ETH"), "settled in ETH"),
        (
            as_listed("BTC-PERPETUAL", "reversed", "BTC", "USDC", "BTC"),
            "inverse and quoted in USDC",
        ),
        (as_listed("BTC_USDC-PERPETUAL", "linear", "BTC", "USDC", "BTC"), "settled in BTC"),
        (as_listed("BTC-PERPETUAL", "quanto", "BTC", "USD", "BTC"), "lists it as quanto"),
        (as_listed("BTCDVOL_USDC-25DEC26", "linear", "BTCDVOL", "USDC", "USDC"), "volatility"),
        (listed("ODD-ONE", instrument_type="linear"), "not that of a perpetual"),
    ],
)
def test_what_the_venue_lists_and_is_not_served(instrument: Instrument, why: str) -> None:
    with pytest.raises(NotServed, match=why) as refusal:
        sizes_as_listed(instrument)
    assert SERVED in str(refusal.value)


def test_a_feed_cannot_say_that_a_future_is_served_whose_name_says_that_it_is_not() -> None:
    """Releases that took the list at its type alone wrote `linear` of euro-quoted futures, too."""
    assert is_linear("BTC_EURR-PERPETUAL", True) is None
    assert is_linear("NEW-STYLE", True) is True
    assert is_linear("NEW-STYLE", False) is False
    assert is_linear("BTC-PERPETUAL", True) is True
    assert is_linear("BTC_USDC-PERPETUAL", False) is False
