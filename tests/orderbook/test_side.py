"""A side keeps its levels sorted, and its front and bands equal to what the plain loops give."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderbook.book.book import Book, Crossed, Duplicate, Gap
from orderbook.book.depth_bands import BANDS_BP, band_limit
from orderbook.book.side import ASK, BID, Side
from orderbook.book.top_levels import LEVELS
from orderbook.events import Change
from orderbook.units import from_record, to_record
from orderbook.windows.record import open_interest_usd

profile = settings(max_examples=300, derandomize=True, database=None, deadline=None)
MID = 10_000
"""Levels stand at most 120 of 10,000 away: 120 bp, so the bands cut through them."""
levels = st.lists(st.tuples(st.integers(MID - 120, MID + 120), st.integers(0, 9)), max_size=25)


def plain_sums(side, twice_mid, bp):
    """Sum the levels of a band by its definition: p > m(1−x) for bids, p < m(1+x) for asks."""
    mid, share = Fraction(twice_mid, 2), Fraction(bp, 10_000)
    inside = [
        (price, size)
        for price, size in side.levels()
        if (price > mid * (1 - share) if side.direction == BID else price < mid * (1 + share))
    ]
    return sum(size for _, size in inside), sum(price * size for price, size in inside)


@profile
@given(
    st.sampled_from([BID, ASK]),
    levels,
    st.lists(st.tuples(levels, st.integers(2 * MID - 300, 2 * MID + 300)), max_size=8),
)
def test_bands_equal_the_plain_loop_however_levels_and_mid_move(direction, first, moves):
    side = Side(direction, dict(first).items())
    for changes, twice_mid in moves:
        side.update(changes)
        side.check()
        near = side.near(twice_mid)
        for band, bp in enumerate(BANDS_BP):
            expected = plain_sums(side, twice_mid, bp)
            found = near.all[band]
            assert (found.size, direction * found.value) == expected


@profile
@given(st.sampled_from([BID, ASK]), levels, st.lists(levels, max_size=8))
def test_the_front_is_that_of_the_levels_and_says_whether_it_has_changed(direction, first, moves):
    side = Side(direction, dict(first).items())
    front = side.front()
    before = list(side.levels())[:10]
    for changes in moves:
        side.update(changes)
        is_other = side.follow(None)
        best = list(side.levels())[:10]
        assert is_other is (best != before)
        assert front.is_best_new is (best[:1] != before[:1])
        shown = [
            (key * direction, size)
            for key, size in zip(front.keys, front.sizes, strict=True)
            if size
        ]
        assert shown == best == sorted(best, key=lambda level: direction * level[0])
        for place, count in enumerate(LEVELS):
            assert front.sums[place] == sum(size for _, size in best[:count])
            assert front.values[place] == sum(price * size for price, size in best[:count])
        before = best
        assert side.front() is front
        assert not side.follow(None)


@profile
@given(
    st.sampled_from([BID, ASK]),
    st.booleans(),
    levels,
    st.lists(st.lists(levels, max_size=3), max_size=6),
)
def test_the_flow_of_several_messages_is_that_of_the_fronts_before_and_after(
    direction, linear, first, moves
):
    """Each level by the rule of the papers, whatever came between two observations."""
    side = Side(direction, dict(first).items(), linear=linear)
    side.follow(None)
    before = list(side.levels())[:10]
    for messages in moves:
        for changes in messages:
            side.update(changes)
        found = [0] * 10
        side.follow(found)
        after = list(side.levels())[:10]
        assert found == plain_flow(direction, linear, before, after)
        before = after


def plain_flow(direction, linear, before, after):
    sums = []
    for level in range(10):
        old = before[level] if level < len(before) else None
        new = after[level] if level < len(after) else None
        rise = -direction
        is_rise = new and (not old or (new[0] - old[0]) * rise >= 0)
        is_fall = old and (not new or (new[0] - old[0]) * rise <= 0)
        grown = (new[1] * (new[0] if linear else 1)) if is_rise else 0
        lost = (old[1] * (old[0] if linear else 1)) if is_fall else 0
        sums.append(rise * (grown - lost))
    return sums


@profile
@given(st.integers(1, 10**20), st.sampled_from(BANDS_BP), st.sampled_from([BID, ASK]))
def test_the_limit_of_a_band_is_the_first_key_outside(twice_mid, bp, direction):
    limit = band_limit(twice_mid, bp, direction)
    for key, inside in ((limit - 1, True), (limit, False)):
        price, reach = (
            direction * key,
            Fraction(twice_mid, 2) * (1 + direction * Fraction(bp, 10_000)),
        )
        assert (direction * price < direction * reach) is inside


def test_a_level_exactly_on_the_limit_is_outside():
    side = Side(ASK, [(10_009, 1), (10_010, 2), (10_011, 4)])
    assert [band.size for band in side.near(20_000).all] == [1, 7, 7]
    side = Side(BID, [(9_991, 1), (9_990, 2), (9_989, 4)])
    assert [band.size for band in side.near(20_000).all] == [1, 7, 7]


def book(bids=((99, 5),), asks=((101, 5),)):
    made = Book()
    made.apply(Change(0, 1, None, list(bids), list(asks)))
    return made


def test_a_change_must_name_the_last_one():
    made = book()
    assert made.apply(Change(1, 5, 4, [], [])) == Gap(expected=1, found=4)
    assert made.apply(Change(1, 1, 0, [], [])) == Duplicate(1)
    assert made.apply(Change(1, 5, 1, [(99, 7)], [])) is made
    assert (made.change_id, made.bids.top(1)) == (5, [(99, 7)])
    assert Book().apply(Change(1, 5, 4, [], [])) == Gap(None, 4)


def test_what_does_not_follow_changes_nothing():
    made = book()
    made.apply(Change(1, 5, 4, [(99, 0)], [(101, 0)]))
    assert (made.bids.top(1), made.asks.top(1), made.timestamp_ms) == ([(99, 5)], [(101, 5)], 0)


def test_a_crossed_or_locked_book_is_said():
    assert book().apply(Change(1, 2, 1, [(101, 1)], [])) == Crossed(101, 101)
    assert book().apply(Change(1, 2, 1, [], [(98, 1)])) == Crossed(99, 98)


def test_a_side_may_be_empty():
    made = book(bids=())
    assert not made.is_two_sided
    assert made.bids.best() is None
    assert made.bids.front().sums == [0, 0, 0]
    made.check()
    assert made.apply(Change(1, 2, 1, [(99, 1)], [])) is made
    assert made.is_two_sided


EDGES = [-(2**63) - 1, -(2**63), -1, 0, 2**63 - 1, 2**63]


@profile
@given(st.lists(st.sampled_from(EDGES), max_size=3))
def test_a_record_has_words_as_numbers_and_what_is_longer_as_text(numbers):
    record = to_record(numbers)
    assert [type(each) is int for each in record] == [-(2**63) <= n < 2**63 for n in numbers]
    assert from_record(record) == numbers


@profile
@given(st.sampled_from([BID, ASK]), st.dictionaries(st.integers(1, 2**65), st.integers(1, 2**65)))
def test_the_record_of_a_side_is_its_levels_best_first(direction, sizes):
    side = Side(direction, sizes.items())
    found = from_record(side.to_record())
    assert [*zip(found[::2], found[1::2], strict=True)] == list(side.levels())


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda side: side.sizes.pop(2), "differ"),
        (lambda side: side.keys.reverse(), "not sorted"),
        (lambda side: side.keys.append(3), "differ"),
        (lambda side: side.sizes.__setitem__(2, 0), "no size"),
    ],
)
def test_a_broken_side_is_found(harm, said):
    side = Side(ASK, [(1, 5), (2, 5), (3, 5)])
    side.check()
    harm(side)
    with pytest.raises(ValueError, match=said):
        side.check()


figures = st.floats(-1e15, 1e15, exclude_min=True, exclude_max=True)


@profile
@given(figures, figures)
def test_open_interest_in_usd_is_the_product_of_the_texts_rounded_once(interest, price):
    expected = float(Fraction(repr(interest)) * Fraction(repr(price)))
    found = open_interest_usd(interest, price, linear=True)
    assert repr(found) == repr(expected)
