"""Integers are divided and multiplied exactly, whichever short cut is taken, in either build."""

from fractions import Fraction
from operator import truediv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderbook.imbalance import imbalance_ratio
from orderbook.units import RATIO_UNIT, quotient, ratio, times

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
