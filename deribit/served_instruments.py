"""Instruments that are served, and the unit in which the venue writes their sizes.

Every published size is in USD, so the unit has to be known. The venue's list of instruments tells
it; where only a name is known, as in a recording, the name does, if it is one of a future. Nothing
is guessed: an instrument whose unit neither tells, or whose price does not turn it into USD, is
refused with a sentence that is the same everywhere.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from deribit.events import Instrument
from orderbook.instrument_names import is_instrument_name

USD: Final = "USD"
USD_QUOTES: Final = frozenset({USD, "USDC", "USDT"})
"""What a price may be in, so that size × price is in USD."""
FUTURE: Final = "future"
"""The venue's kind of perpetuals and dated futures."""
LINEAR: Final = "linear"
REVERSED: Final = "reversed"

SERVED: Final = (
    "Served are perpetuals and dated futures, inverse (BTC-PERPETUAL, ETH-25DEC26) or linear and "
    "quoted in USD, USDC or USDT (SOL_USDC-PERPETUAL, BTC_USDT-25DEC26)"
)

_MONTHS: Final = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_DATE: Final = rf"(?:[1-9]|[12][0-9]|3[01])(?:{_MONTHS})[0-9]{{2}}"
_PAIR: Final = r"(?P<base>[A-Z0-9]+)(?:_(?P<quote>[A-Z0-9]+))?"
_NAMED_FUTURE: Final = re.compile(rf"{_PAIR}-(?:PERPETUAL|{_DATE})")
_OPTION: Final = re.compile(rf"{_PAIR}-{_DATE}-[0-9]+(?:d[0-9]+)?-[CP]")
_COMBINATION: Final = re.compile(rf"{_PAIR}-[A-Z]{{2,6}}[0-9]*-.+")
_SPOT: Final = re.compile(r"[A-Z0-9]+_[A-Z0-9]+")
_OTHERS: Final = (
    ("an option", _OPTION),
    ("a spot pair", _SPOT),
    ("a combination of instruments", _COMBINATION),
)
"""What else the venue lists, by the grammar of its names."""
_VOLATILITY: Final = "DVOL"
"""Ends the base of a future on a volatility index, whose contracts are in no coin."""


class Sizes(NamedTuple):
    """The ways in which the venue writes the sizes of an instrument."""

    linear: bool
    """Whether they are in the base coin, to be valued at their price; else they are in USD."""
    unit: str
    """`USD`, or the base coin."""


class NotServed(ValueError):
    """An instrument is none that is served; the text is the sentence to show."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name[:80]} is not served: {why}. {SERVED}.")


def sizes_by_name(name: str) -> Sizes:
    """Return how an instrument's sizes are written, as its name tells; raise NotServed."""
    if not is_instrument_name(name):
        raise NotServed(repr(name), "it is no instrument name")
    named = _NAMED_FUTURE.fullmatch(name)
    if named is None:
        what = next((what for what, grammar in _OTHERS if grammar.fullmatch(name)), None)
        if what is None:
            raise NotServed(name, "its name is not that of a perpetual or a dated future")
        raise NotServed(name, f"it is {what}")
    base, quote = named["base"], named["quote"]
    _check_market(name, base, quote or USD)
    return Sizes(True, base) if quote else Sizes(False, USD)


def sizes_as_listed(listed: Instrument) -> Sizes:
    """Return how an instrument's sizes are written, as the venue's list tells; raise NotServed.

    What the list leaves out, the name tells. The type alone is not enough: options that are settled
    in their coin are `reversed`, too, and their amounts are coins.
    """
    name, market, kind = listed.instrument_name, listed.instrument_type, listed.kind
    named = _NAMED_FUTURE.fullmatch(name)
    if named is None and None in (kind, market, listed.base_currency, listed.quote_currency):
        return sizes_by_name(name)
    if kind not in (FUTURE, None):
        raise NotServed(name, f"the venue lists it as {kind}")
    base = listed.base_currency or (named["base"] if named else "")
    quote = listed.quote_currency or ((named["quote"] or USD) if named else "")
    if market is None and named:
        market = LINEAR if named["quote"] else REVERSED
    if market not in (LINEAR, REVERSED):
        raise NotServed(name, f"the venue lists it as {market}")
    _check_market(name, base, quote)
    linear, settled = market == LINEAR, listed.settlement_currency
    if not linear and quote != USD:
        raise NotServed(name, f"it is inverse and quoted in {quote}")
    if settled is not None and (settled not in USD_QUOTES if linear else settled != base):
        raise NotServed(name, f"it is {'linear' if linear else 'inverse'} and settled in {settled}")
    return Sizes(True, base) if linear else Sizes(False, USD)


def is_linear(name: str, listed: bool | None) -> bool | None:
    """Return whether sizes are in the base coin; None if the instrument is not served.

    `listed`: what the venue's list was found to say, None where nothing is known of it. What its
    name says not to be served is refused whatever a feed says: in feeds of earlier releases the
    list was taken at its type alone.
    """
    try:
        by_name = sizes_by_name(name).linear
    except NotServed:
        says = any(grammar.fullmatch(name) for grammar in (_NAMED_FUTURE, _OPTION, _COMBINATION))
        return None if says else listed
    return by_name if listed is None else listed


def base_coin(name: str) -> str:
    """Return the coin that an instrument's name begins with."""
    return re.split("[-_]", name, maxsplit=1)[0]


def why_not_served(name: str) -> str:
    """Return the sentence to show where an instrument's name alone is known."""
    try:
        sizes_by_name(name)
    except NotServed as refusal:
        return str(refusal)
    raise AssertionError(f"{name} is served")


def _check_market(name: str, base: str, quote: str) -> None:
    if quote not in USD_QUOTES:
        raise NotServed(name, f"it is quoted in {quote}, which no price of its book turns into USD")
    if base.endswith(_VOLATILITY):
        raise NotServed(name, "it is a future on a volatility index")
