"""Prices and sizes are integers in units of 1e-8, so that sums are exact and mergeable.

A double that was read from decimal text is turned into the integer that the text meant. Prices as
integers are also exact keys: `8.39e4`, `83900.0` and `83900` are one level.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from mypy_extensions import i64

Boxed: TypeAlias = Any
"""An integer that compiled code leaves the Python object it is.

mypyc unpacks an `int` of more than 62 bits and packs it again wherever it is handed on, and
multiplies it the long way. Where numbers are only compared, moved or long anyway, that is the
better part of the work (docs/decisions/0008-compiled.md). To a reader and to Python it is `int`.
"""

UNIT: Final = 10**8
"""Units in 1 USD, or in 1 base coin."""
RATIO_UNIT: Final = 10**12
"""Units in 1 of a ratio that is going to be averaged."""

NOWHERE: Final = 10**32
"""Above every price, and so beyond every level of a side."""

FAST_LIMIT: Final = 2.0**25
"""Below this, `round(x · 10⁸)` is the number that was meant: x is within 2⁻²⁹ of it, which is 0.19
units, and the product is rounded by at most 0.25 of one."""
_LIMIT: Final = 1e15
"""Every price, and every amount of a coin, is smaller: what is not, is a fault of the sender."""
_RATIO_UNIT: Final = 1e12
_UNSURE: Final = 0.004
"""Four times what the double of a ratio may be off, in its units."""
_HALF_BITS: Final = 30
_HALF_MASK: Final = 2**30 - 1
_DOUBLES: Final = 2**53
"""Up to here every integer is a double."""
_SHORT: Final = 2**52
"""Times a count of milliseconds, what is below mostly fits in a word."""
_FEW: Final = 2**10
"""Times as many, it does: 2⁶²."""
_EXACT_LIMIT: Final = 2**61
"""Below, the double next to an integer is an integer of one word."""
_WORD: Final = 2**63
"""A record holds numbers of 64 bits; sums of USD of linear instruments are longer."""


def to_units(value: float) -> int:
    """Return a decimal number in units of 1e-8.

    Raises ValueError if it is not finite, negative, 1e15 or more, or finer than 1e-8.
    """
    if 0.0 <= value < FAST_LIMIT:
        units = int(value * UNIT + 0.5)  # as `round`, where the number has no more than 8 decimals
        if units / UNIT == value:
            return units
        raise ValueError(f"{value!r} is finer than 1e-8")
    if not 0.0 <= value < _LIMIT:
        raise ValueError(f"{value!r} is not a number from 0 to 1e15")
    exact = Decimal(repr(value)) * UNIT
    units = int(exact)
    if units != exact:
        raise ValueError(f"{value!r} is finer than 1e-8")
    return units


def ratio(numerator: int, denominator: int) -> int:
    """Return numerator/denominator in units of 1e-12, rounded half up; denominator > 0.

    Within ±1 the double is right to 0.001 units, so it decides unless it is that near to a half.
    The integers in between would be of 90 bits: compiled, that is a tenth of the whole hot path.
    """
    if -denominator <= numerator <= denominator:
        shifted = numerator / denominator * _RATIO_UNIT + (_RATIO_UNIT + 0.5)  # above 0: int floors
        nearest = int(shifted)
        if _UNSURE < shifted - nearest < 1.0 - _UNSURE:
            return nearest - RATIO_UNIT
    return (2 * numerator * RATIO_UNIT + denominator) // (2 * denominator)


def times(value: int, count: int) -> int:
    """Return value · count, fast for a size or a ratio and the milliseconds of a pane.

    Compiled, `*` takes the long way as soon as one factor has more than 30 bits. Two factors that
    fit in a word together are multiplied as words; else one is taken in two parts. What is long
    anyway, as values of linear instruments are, is multiplied by Python itself.
    """
    if -_SHORT < value < _SHORT:
        if 0 <= count <= _FEW:
            word: i64 = value
            return word * count
        return ((value >> _HALF_BITS) * count << _HALF_BITS) + (value & _HALF_MASK) * count
    boxed: Boxed = value
    product: int = boxed * count
    return product


def quotient(numerator: int, denominator: int) -> float:
    """Return numerator/denominator, rounded once, however long the integers are.

    Compiled, `/` of two `int` divides two doubles, which is right if both are exact: below 2⁵³, or
    as multiples of a power of two, as sums of sizes mostly are. What is not is divided by Python
    itself.
    """
    if -_DOUBLES <= numerator <= _DOUBLES and 0 < denominator <= _DOUBLES:
        return numerator / denominator
    if -_EXACT_LIMIT < numerator < _EXACT_LIMIT and 0 < denominator < _EXACT_LIMIT:
        above, below = float(numerator), float(denominator)
        if int(above) == numerator and int(below) == denominator:
            return above / below
    boxed: Boxed = numerator
    result: float = boxed / denominator
    return result


def to_record(numbers: Iterable[int]) -> list[int | str]:
    """Return numbers as a record holds them: those longer than 64 bits as decimal text."""
    found = list(numbers)
    if not found or (min(found) >= -_WORD and max(found) < _WORD):  # almost always
        return [*found]
    return [number if -_WORD <= number < _WORD else _text(number) for number in found]


def _text(number: Boxed) -> str:
    """Return an integer as decimal text.

    Boxed, because mypyc 2.4.1 never lets go of an `int` of more than 62 bits that it made a text
    of: 6 MB a minute of a worker with 131 instruments, at 1,000 notifications/s.
    """
    return str(number)


def from_record(numbers: Iterable[int | str], count: int | None = None) -> list[int]:
    """Return the numbers of a record; raise ValueError if there are not `count` of them."""
    read = list(map(int, numbers))
    if count is not None and len(read) != count:
        raise ValueError(f"{len(read)} numbers where a record has {count}")
    return read
