"""The weights of `ofi_integrated`: fitted on the past, alike to the digit by two algorithms."""

import random
from decimal import localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderbook.book.top_levels import FLOW_LEVELS
from orderbook.units import UNIT, to_record
from orderbook.windows.ofi_weights import (
    EQUAL,
    FIT_LEAST_WINDOWS,
    FIT_PERIOD_WINDOWS,
    MAX_PENDING,
    MOST_WEIGHT,
    VECTOR_UNIT,
    WEIGHT_UNIT,
    Fit,
    Weights,
    direction,
    first_component,
    fitted,
)
from tests.reference import weights as reference_weights
from tests.reference.windows import EXACT

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
        fit.learn([int(each * UNIT) for each in flow])


def moments(flows):
    """Return what a fit keeps of some flows."""
    fit = Fit(LENGTH_MS)
    learn(fit, flows)
    _, count, learnt, _ = fit.to_record()
    learnt = list(map(int, learnt)) or [0] * 65
    return count, learnt[:FLOW_LEVELS], learnt[FLOW_LEVELS:]


def by_reference(flows):
    weighing = reference_weights.Weighing(LENGTH_MS)
    with localcontext(EXACT):
        for place, flow in enumerate(flows):
            weighing.learn(place * LENGTH_MS, flow)
        return reference_weights.fit(weighing._learnt)


def by_product(flows):
    """Return what was fitted as the reference gives it."""
    found = fitted(*moments(flows))
    if found is None:
        return None
    levels = [Fraction(weight, WEIGHT_UNIT) for weight in found.levels]
    return levels, Fraction(found.explained, WEIGHT_UNIT)


@pytest.mark.parametrize("noise", [0, 0.01, 0.3, 1, 3, 10])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_powers_of_integers_and_rotations_of_decimals_give_the_same_weights(seed, noise):
    flows = list(flows_of(seed, 120, noise))
    found = by_product(flows)
    assert found == by_reference(flows)
    if noise < 1:
        levels, explained = found
        assert abs(sum(levels) - 1) * WEIGHT_UNIT <= FLOW_LEVELS
        assert 0.5 < explained <= 1


def test_one_common_factor_is_the_first_component_and_explains_all_of_it():
    base = [4, 3, 2, 1, 0, 0, 1, 1, 1, 2]
    for sign in (1, -1):
        weights = fitted(*moments(flows_of(5, 100, 0, [sign * each for each in base])))
        for weight, part in zip(weights.levels, base, strict=True):
            assert weight == pytest.approx(WEIGHT_UNIT / 8 if part else 0, abs=2)
        assert weights.explained == pytest.approx(WEIGHT_UNIT, abs=2)


def outliers(count, *, alternating):
    """A few windows that are larger than all others together, at every level or at the best."""
    for place in range(count):
        sign = -1 if place % 2 else 1
        yield [
            Fraction(sign * 10**6 * (level + 1) * (-1) ** level)
            if alternating
            else Fraction(sign * 10**6 if level == 0 else 0)
            for level in range(FLOW_LEVELS)
        ]


@pytest.mark.parametrize("alternating", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_a_few_windows_do_not_own_the_weights_however_large_they_are(count, alternating):
    calm = list(flows_of(4, 179, 0.3, [1] * FLOW_LEVELS))
    without = fitted(*moments(calm)).levels
    found = fitted(*moments([*calm[count:], *outliers(count, alternating=alternating)])).levels
    for one, other in zip(found, without, strict=True):
        assert abs(one - other) < 0.03 * WEIGHT_UNIT


@pytest.mark.parametrize(
    "base",
    [
        [5, 4, 3, 2, 1, -1, 1, 1, 1, 1],  # a level against the others
        [5, 0, 0, 0, 0, 0, 0, 0, 0, 0],  # one alone, which has more than half of all
    ],
)
def test_a_component_that_is_not_common_to_the_levels_is_refused(base):
    flows = list(flows_of(5, 100, 0.01 if all(base) else 0, base))
    assert fitted(*moments(flows)) is None
    assert by_reference(flows) is None
    fit = Fit(LENGTH_MS)
    fit.at(START_MS)
    learn(fit, flows)
    assert fit.at(START_MS + PERIOD_MS) is EQUAL
    learn(fit, flows_of(1, 99, 0.3))
    assert fit.at(START_MS + 2 * PERIOD_MS) is EQUAL, "what was refused is learnt from no more"


def test_one_half_is_not_too_much():
    flows = [[*flow[:2], *[Fraction(0)] * 8] for flow in flows_of(5, 100, 0.1, [3, 1] * 5)]
    assert fitted(*moments(flows)).levels == (MOST_WEIGHT, MOST_WEIGHT) + (0,) * 8
    assert by_product(flows) == by_reference(flows)


def test_levels_that_are_never_populated_have_no_weight():
    flows = [[*flow[:3], *[Fraction(0)] * 7] for flow in flows_of(1, 120, 0.3, [1] * FLOW_LEVELS)]
    weights = fitted(*moments(flows))
    assert min(weights.levels[:3]) > 0.25 * WEIGHT_UNIT
    assert set(weights.levels[3:]) == {0}


def test_weights_over_the_populated_levels():
    assert EQUAL.over(4) == (EQUAL.levels[0],) * 4 + (0,) * 6
    fit_on_two = Weights((600, 400) + (0,) * 8, 100, 1)
    assert fit_on_two.over(10) == fit_on_two.levels
    assert fit_on_two.over(1) == (600,) + (0,) * 9
    late = Weights((0,) * 5 + (1,) * 5, 100, 1)
    assert late.over(3) == (1,) * 3 + (0,) * 7, "equal, as the fit gives them nothing"


def test_windows_without_flow_have_no_direction():
    fit = Fit(LENGTH_MS)
    learn(fit, [[Fraction(0)] * FLOW_LEVELS] * 500)
    assert fit.to_record()[1] == 0


def test_a_mean_direction_is_no_component():
    """It is the covariance: what is always there says nothing."""
    still = [[Fraction(7)] * FLOW_LEVELS] * 100
    assert fitted(*moments(still)) is None
    assert by_reference(still) is None


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
    assert second == fitted(*moments(flows_of(2, 120, 0.3)))


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
    st.lists(
        st.integers(-(10**26), 10**26) | st.integers(-(10**14), 10**14) | st.integers(-3, 3),
        min_size=1,
        max_size=FLOW_LEVELS,
    ).filter(any)
)
def test_a_direction_is_the_integer_that_its_definition_gives(flow):
    size = sum(map(abs, flow))
    exact = [rounded_half_up(Fraction(each * VECTOR_UNIT, size)) for each in flow]
    assert direction(flow) == exact


def test_the_sums_are_the_same_however_many_windows_are_added_at_once():
    flows = list(flows_of(1, 2 * MAX_PENDING + 5, 0.3))
    often, once = Fit(LENGTH_MS), Fit(LENGTH_MS)
    for flow in flows:
        learn(often, [flow])
        often.to_record()
    learn(once, flows)
    assert often.to_record() == once.to_record()
    vectors = [
        [rounded_half_up(each * VECTOR_UNIT / sum(map(abs, flow))) for each in flow]
        for flow in flows
    ]
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
