"""Numbers and JSON as Deribit writes them: the shorter of decimal and scientific notation.

Prices and amounts are kept as integers of a power of ten, so `format_scaled` never sees a float:
`8.39e4`, `1.0002e6`, `76914.0`, `1.423e-4`. Equal lengths are written as a decimal, and every
number has a point, except the amounts that the venue writes as bare integers.
"""

import json
from collections.abc import Mapping
from functools import lru_cache

CACHED_NUMBERS = 1 << 16
# Deribit writes a few whole amounts without a point (3 of 1,008 in a real snapshot). Here it is a
# property of the number, so that the same state always gives the same bytes.
BARE_INTEGER_MODULUS = 97
BARE_INTEGER_RESIDUE = 13


@lru_cache(maxsize=CACHED_NUMBERS)
def format_scaled(units: int, decimals: int) -> str:
    """The number `units / 10**decimals` in the venue's notation."""
    if units == 0:
        return "0.0"
    sign = "-" if units < 0 else ""
    text = str(abs(units))
    digits = text.rstrip("0")
    return sign + _shorter_notation(digits, len(text) - decimals)


@lru_cache(maxsize=CACHED_NUMBERS)
def format_amount(units: int, decimals: int) -> str:
    """An amount in the venue's notation; now and then a whole one is a bare integer."""
    if units % BARE_INTEGER_MODULUS == BARE_INTEGER_RESIDUE:
        whole, rest = divmod(units, 10**decimals)
        if rest == 0:
            return str(whole)
    return format_scaled(units, decimals)


def format_float(value: float) -> str:
    """A float in the venue's notation, with the fewest digits that read back as the same float."""
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"{value} has no JSON form")
    if value == 0.0:
        return "0.0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    all_digits = whole + fraction
    significant = all_digits.lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(all_digits) - len(significant))
    return sign + _shorter_notation(significant.rstrip("0"), point)


def _shorter_notation(digits: str, point: int) -> str:
    """Digits without zeros at either end; the point stands after the first `point` of them."""
    if point >= len(digits):
        decimal = digits + "0" * (point - len(digits)) + ".0"
    elif point > 0:
        decimal = digits[:point] + "." + digits[point:]
    else:
        decimal = "0." + "0" * -point + digits
    scientific = f"{digits[0]}.{digits[1:] or '0'}e{point - 1}"
    return scientific if len(scientific) < len(decimal) else decimal


class Raw(str):
    """Text that is JSON already and goes out as it is."""


def encode(value: object) -> str:
    """Compact JSON whose floats have the venue's notation."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, float):
        return format_float(value)
    if value is None or isinstance(value, str | int):  # bool is an int
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        items = (f"{json.dumps(str(key))}:{encode(item)}" for key, item in value.items())
        return "{" + ",".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(encode, value)) + "]"
    raise TypeError(f"no JSON form for {type(value).__name__}")
