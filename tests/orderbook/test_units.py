"""Integers are divided and multiplied exactly, whichever short cut is taken, in either build."""

import math
from fractions import Fraction
from operator import truediv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderbook.measures import imbalance_ratio
from orderbook.units import RATIO_UNIT, from_record, quotient, ratio, times, to_record, to_units

profile = settings(max_examples=300, derandomize=True, database=None, deadline=None)
numbers = st.integers(-(2**70), 2**70) | st.integers(-(2**53) - 9, 2**53 + 9)
sizes = st.integers(1, 10**16) | st.integers(1, 10**26)


def rounded(numerator: int, denominator: int) -> int:
    """Round half up, by definition."""
    return (Fraction(numerator * RATIO_UNIT, denominator) + Fraction(1, 2)).__floor__()


@profile
@given(sizes, st.fractions(-2, 2))
def test_a_ratio_is_the_integer_that_its_definition_gives(denominator: int, share: Fraction):
    numerator = int(share * denominator)
    assert ratio(numerator, denominator) == rounded(numerator, denominator)


@profile
@given(st.integers(1, 10**4), st.integers(-(10**12), 10**12), st.integers(-1, 1))
def test_a_ratio_near_a_half_is_not_left_to_the_double(scale: int, odd: int, off: int):
    denominator = 2 * RATIO_UNIT * scale
    numerator = (2 * odd + 1) * scale + off
    assert ratio(numerator, denominator) == rounded(numerator, denominator)


@pytest.mark.parametrize(
    ("numerator", "denominator"),
    [
        (-74_615_534_932_595, 146_000_000_000_000),
        (-7_048_826_842_262_568, 12_848_000_000_000_000),
        (-7_605_975_501_793_139, 14_162_000_000_000_000),
    ],
)
def test_a_half_that_the_double_puts_on_the_wrong_side(numerator: int, denominator: int):
    assert ratio(numerator, denominator) == rounded(numerator, denominator)


@given(sizes, sizes)
def test_the_imbalance_of_one_side_is_one_and_changes_sign_with_the_sides(bids: int, asks: int):
    assert imbalance_ratio(bids, 0) == RATIO_UNIT == -imbalance_ratio(0, bids)
    assert abs(imbalance_ratio(bids, asks) + imbalance_ratio(asks, bids)) <= 1  # halves go up


@profile
@given(numbers, st.integers(1, 2**70))
def test_a_quotient_is_rounded_once(numerator: int, denominator: int):
    assert quotient(numerator, denominator) == float(Fraction(numerator, denominator))


EDGES = [0, 1, 3, *(2**bits + off for bits in (30, 53, 54, 62, 63) for off in (-1, 0, 1))]


@pytest.mark.parametrize("denominator", [each for each in EDGES if each])
@pytest.mark.parametrize("numerator", [*EDGES, 2**60 + 2**7 + 1, 3 * 2**58 - 1])
def test_a_quotient_of_what_no_double_is(numerator: int, denominator: int):
    for one, other in ((numerator, denominator), (-numerator, denominator)):
        assert quotient(one, other) == truediv(one, other) == float(Fraction(one, other))
        assert quotient(one, -other) == truediv(one, -other)


def test_a_quotient_by_nothing_is_an_error():
    for numerator in (0, 1, 2**60):
        with pytest.raises(ZeroDivisionError):
            quotient(numerator, 0)


@pytest.mark.parametrize("shift", [1, 9, 10])
@pytest.mark.parametrize("numerator", [2**52 - 1, 2**52 + 1, 2**53 - 1, 2**53 + 1])
def test_a_quotient_of_multiples_of_a_power_of_two(numerator: int, shift: int):
    """Some are doubles above 2⁵³, some are next to one."""
    for divisor in (10**16, 10**15, 3 * 2**54, 3 * 2**54 + 1):
        exact = float(Fraction(numerator << shift, divisor))
        assert quotient(numerator << shift, divisor) == exact
        assert quotient(-numerator << shift, divisor) == -exact


@pytest.mark.parametrize("count", [0, 1, 2**10 - 1, 2**10, 2**10 + 1, 2**27])
@pytest.mark.parametrize("value", [2**30, 2**52 - 1, 2**52, 2**52 + 1, 2**62, 2**63])
def test_a_product_at_the_edges_of_a_word(value: int, count: int):
    assert times(value, count) == value * count
    assert times(-value, count) == -value * count


@profile
@given(numbers, st.integers(0, 2**40))
def test_a_product_in_two_parts_is_the_product(value: int, count: int):
    assert times(value, count) == value * count


@pytest.mark.parametrize(
    ("value", "units"),
    [
        (0.0, 0),
        (1e-8, 1),
        (0.07, 7_000_000),
        (0.29, 29_000_000),  # 0.29 · 10⁸ is 28999999.999999996
        (83_900.5, 8_390_050_000_000),
        (33_554_431.99999999, 3_355_443_199_999_999),
        (33_554_432.5, 3_355_443_250_000_000),
        (123_456_789_012.25, 12_345_678_901_225_000_000),
        (999_999_999_999_999.0, 99_999_999_999_999_900_000_000),
    ],
)
def test_a_decimal_number_is_the_integer_that_its_text_meant(value: float, units: int) -> None:
    assert to_units(value) == units


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (1.5e-8, "finer"),
        (1e-9, "finer"),
        (0.123456789, "finer"),
        (33_554_432.000000015, "finer"),
        (-1e-8, "not a number from"),
        (1e15, "not a number from"),
        (math.inf, "not a number from"),
        (math.nan, "not a number from"),
    ],
)
def test_what_is_no_price_or_size_is_refused(value: float, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        to_units(value)


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, "9223372036854775808"),
        (-(2**63) - 1, "-9223372036854775809"),
    ],
)
def test_a_record_holds_as_text_what_is_longer_than_64_bits(number: int, written: object) -> None:
    assert to_record([1, number, -1]) == [1, written, -1]
    assert from_record(to_record([1, number, -1])) == [1, number, -1]


@pytest.mark.parametrize("count", [2, 4])
def test_a_record_of_another_length_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"3 numbers where a record has {count}"):
        from_record([1, 2, 3], count)
