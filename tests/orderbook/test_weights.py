"""The weights of `ofi_integrated`: fitted on the past, alike to the digit by two algorithms."""

import random
from decimal import localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderbook import reference_weights
from orderbook.flow import FLOW_LEVELS
from orderbook.reference import EXACT
from orderbook.units import UNIT, to_record
from orderbook.weights import (
    EQUAL,
    FIT_LEAST_WINDOWS,
    FIT_PERIOD_WINDOWS,
    MAX_PENDING,
    VECTOR_UNIT,
    WEIGHT_UNIT,
    Fit,
    first_component,
    fitted,
    normalised,
)

LENGTH_MS = 1_000
PERIOD_MS = LENGTH_MS * FIT_PERIOD_WINDOWS
START_MS = 1_723_161_600_000


def flows_of(seed, count, noise, base=None):
    """Draw flows of the levels: one factor that all follow, and noise of their own."""
    rng = random.Random(seed)
    base = base or [rng.gauss(1, 0.5) for _ in range(FLOW_LEVELS)]
    for _ in range(count):
        factor = rng.gauss(0, 1)
        yield [
            Fraction(round((factor * each + noise * rng.gauss(0, 1)) * UNIT), UNIT) for each in base
        ]


def learn(fit, flows):
    for flow in flows:
        fit.learn([int(each * UNIT) for each in flow], 1, UNIT)


def moments(flows):
    """Return what a fit keeps of some flows."""
    fit = Fit(LENGTH_MS)
    learn(fit, flows)
    _, count, learnt, _ = fit.to_record()
    learnt = list(map(int, learnt)) or [0] * 65
    return count, learnt[:FLOW_LEVELS], learnt[FLOW_LEVELS:]


def by_reference(flows):
    with localcontext(EXACT):
        return reference_weights.fit(flows)


@pytest.mark.parametrize("noise", [0, 0.01, 0.3, 1, 3, 10])
@pytest.mark.parametrize("seed", [1, 2])
def test_powers_of_integers_and_rotations_of_decimals_give_the_same_weights(seed, noise):
    flows = list(flows_of(seed, 120, noise))
    weights = fitted(*moments(flows))
    assert [Fraction(weight, WEIGHT_UNIT) for weight in weights] == by_reference(flows)
    assert sum(weights) > 0
    assert abs(sum(map(abs, weights)) - WEIGHT_UNIT) <= FLOW_LEVELS


def test_one_common_factor_is_the_first_component_and_its_sum_is_positive():
    base = [-4, -3, -2, 1, 0, 0, 1, 1, 1, 2]  # the sum is −3: the other sign is taken
    weights = fitted(*moments(flows_of(5, 100, 0, base)))
    for weight, part in zip(weights, base, strict=True):
        assert weight == pytest.approx(-part * WEIGHT_UNIT / 15, abs=2)


def test_a_mean_flow_is_no_component():
    """It is the covariance: a flow that is always there says nothing."""
    still = [[Fraction(7)] * FLOW_LEVELS] * 100
    assert fitted(*moments(still)) is None
    assert by_reference(still) is None
    moved = [[each + 7 for each in flow] for flow in flows_of(3, 100, 0.2)]
    assert fitted(*moments(moved)) == fitted(*moments(flows_of(3, 100, 0.2)))


def test_of_two_equal_components_none_is_the_first():
    two = [[Fraction(0)] * FLOW_LEVELS for _ in range(100)]
    for place, flow in enumerate(two):
        flow[place % 2] = Fraction(1 if place % 4 < 2 else -1)
    assert fitted(*moments(two)) is None
    assert by_reference(two) is None


def test_an_eigenvector_is_found_among_close_ones():
    """Eigenvalues 1000 and 998 of a matrix that is known: [[999, 1], [1, 999]] on two levels."""
    matrix = [[0] * FLOW_LEVELS for _ in range(FLOW_LEVELS)]
    matrix[0][0] = matrix[1][1] = 999
    matrix[0][1] = matrix[1][0] = 1
    component = first_component(matrix)
    assert component[0] == pytest.approx(component[1], rel=1e-9)
    assert set(component[2:]) == {0}


def test_weights_are_equal_until_enough_windows_are_complete():
    fit = Fit(LENGTH_MS)
    assert fit.at(START_MS) is EQUAL
    learn(fit, flows_of(1, FIT_LEAST_WINDOWS - 1, 0.3))
    assert fit.at(START_MS + PERIOD_MS) is EQUAL
    learn(fit, flows_of(2, 1, 0.3))
    weights = fit.at(START_MS + 2 * PERIOD_MS)
    assert weights.windows == FIT_LEAST_WINDOWS
    assert weights.levels != EQUAL.levels


def test_weights_change_at_the_beginning_of_a_period_only_and_forget_what_was_before():
    fit = Fit(LENGTH_MS)
    fit.at(START_MS)
    learn(fit, flows_of(1, 150, 0.3))
    last = START_MS + PERIOD_MS - LENGTH_MS
    assert fit.at(last) is EQUAL
    first = fit.at(last + LENGTH_MS)
    assert first.windows == 150
    learn(fit, flows_of(2, 120, 0.3))
    assert fit.at(last + PERIOD_MS) == first
    second = fit.at(last + LENGTH_MS + PERIOD_MS)
    assert second.windows == 120
    assert second.levels == fitted(*moments(flows_of(2, 120, 0.3)))


@pytest.mark.parametrize("learnt", [0, 30, 150])
def test_a_fit_survives_its_record(learnt):
    fit = Fit(LENGTH_MS)
    fit.at(START_MS)
    learn(fit, flows_of(1, 150, 0.3))
    fit.at(START_MS + PERIOD_MS)
    learn(fit, flows_of(2, learnt, 0.3))
    other = Fit(LENGTH_MS)
    other.restore(fit.to_record())
    assert other.to_record() == fit.to_record()
    for later in (PERIOD_MS, 2 * PERIOD_MS):
        assert other.at(START_MS + later) == fit.at(START_MS + later)


def rounded_half_up(number):
    return (number + Fraction(1, 2)).__floor__()


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(
    st.lists(st.integers(-(10**26), 10**26) | st.integers(-(10**14), 10**14), max_size=FLOW_LEVELS),
    st.integers(1, 10**6),
    st.integers(1, 10**24) | st.integers(1, 10**16),
)
def test_a_normalised_flow_is_the_integer_that_its_definition_gives(flow, scale, depth):
    exact = [rounded_half_up(Fraction(each * scale * VECTOR_UNIT, depth)) for each in flow]
    assert normalised(flow, scale, depth) == exact


@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize("odd", [0, 7, -8, 2**29, -(2**29), 2**31, 2**54])
def test_a_normalised_flow_near_a_half_is_not_left_to_the_double(odd, off):
    depth = 2 * 10**18 * VECTOR_UNIT
    flow = (2 * odd + 1) * 10**18 + off
    assert normalised([flow], 1, depth) == [rounded_half_up(Fraction(flow * VECTOR_UNIT, depth))]


def test_a_large_normalised_flow_is_not_left_to_the_double():
    rng = random.Random(4)
    for _ in range(2_000):
        flow, depth = rng.randrange(2**70, 2**72), rng.randrange(2**44, 2**46)
        exact = rounded_half_up(Fraction(flow * VECTOR_UNIT, depth))
        assert normalised([flow], 1, depth) == [exact]


def test_the_sums_are_the_same_however_many_windows_are_added_at_once():
    flows = list(flows_of(1, 2 * MAX_PENDING + 5, 0.3))
    often, once = Fit(LENGTH_MS), Fit(LENGTH_MS)
    for flow in flows:
        learn(often, [flow])
        often.to_record()
    learn(once, flows)
    assert often.to_record() == once.to_record()
    vectors = [[rounded_half_up(each * VECTOR_UNIT) for each in flow] for flow in flows]
    sums = [sum(vector[one] for vector in vectors) for one in range(FLOW_LEVELS)]
    products = [
        sum(vector[one] * vector[two] for vector in vectors)
        for one in range(FLOW_LEVELS)
        for two in range(one, FLOW_LEVELS)
    ]
    assert once.to_record() == [0, len(flows), to_record([*sums, *products]), []]


def test_a_record_that_is_cut_short_is_refused():
    fit = Fit(LENGTH_MS)
    learn(fit, flows_of(1, 3, 0.3))
    block, count, learnt, weights = fit.to_record()
    with pytest.raises(ValueError, match="numbers where a record has"):
        Fit(LENGTH_MS).restore([block, count, learnt[:-1], weights])
