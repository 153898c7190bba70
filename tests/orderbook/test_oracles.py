"""What the measures must be by their definitions, whatever the implementation."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderbook.book.side import ASK, BID, Side
from orderbook.book.top_levels import FLOW_LEVELS
from orderbook.events import Change, Ticker, Trade
from orderbook.instrument import Instrument, Refused, Status
from orderbook.windows import pane as p
from orderbook.windows.ofi_weights import EQUAL
from orderbook.windows.pane import Pane
from orderbook.windows.record import window_record
from orderbook.windows.span import Span, tumbling
from orderbook.windows.timeline import Timeline
from orderbook.windows.window_series import Closed

profile = settings(max_examples=150, derandomize=True, database=None, deadline=None)
UNIT = 10**8
SECOND = 1_000
START = 1_723_161_600_000
"""Midnight, so that all lengths begin here."""


def units(levels):
    return [(round(price * UNIT), round(size * UNIT)) for price, size in levels]


class Feed:
    """An instrument that is told books in plain numbers, and the windows it answers."""

    def __init__(self, *, linear=False, lengths_ms=(SECOND,), name="X", grace_ms=0):
        self.instrument = Instrument(
            name, linear=linear, spans=tumbling(*lengths_ms), grace_ms=grace_ms
        )
        self.instrument.connect()
        self.change_id = 0
        self.windows = []

    def book(self, at_ms, bids=(), asks=(), *, snapshot=False):
        previous, self.change_id = self.change_id, self.change_id + 1
        is_first = snapshot or not previous
        windows, problem = self.instrument.change(
            Change(
                START + at_ms,
                self.change_id,
                None if is_first else previous,
                units(bids),
                units(asks),
            )
        )
        self.windows += windows
        return problem

    def tick(self, clock_ms, quiet_ms=0):
        self.windows += self.instrument.tick(START + clock_ms + 3_000, quiet_ms, 3_000)
        return self.windows


# Order flow


def test_the_worked_example_is_7_10_10():
    """Xu, Gould & Howison: bids 1.40×10, 1.39×10; a buy order 1.41×7 arrives."""
    feed = Feed()
    feed.book(0, [(1.40, 10), (1.39, 10), (1.38, 10)], [(1.50, 5)])
    feed.book(100, [(1.41, 7)])
    [window] = feed.tick(SECOND)
    assert window["ofi_levels_usd"][:3] == [7.0, 10.0, 10.0]
    assert window["ofi_usd"] == 7.0


@pytest.mark.parametrize(
    ("before", "after", "bid_flow"),
    [
        ([(10, 5)], [(11, 3)], 3),  # rises: +q(n)
        ([(10, 5)], [(10, 3)], -2),  # stays: the difference
        ([(10, 5)], [(9, 3)], -5),  # falls: −q(n−1), not −q(n)
        ([], [(10, 3)], 3),  # appears
        ([(10, 5)], [], -5),  # vanishes
        ([], [], 0),
        ([(10, 5)], [(10, 5)], 0),
    ],
)
def test_every_case_of_the_rule_and_its_mirror(before, after, bid_flow):
    assert flow(BID, before, after)[0] == bid_flow
    mirror = ([(-price, size) for price, size in side] for side in (before, after))
    assert flow(ASK, *mirror)[0] == -bid_flow


def flow(direction, before, after):
    side = Side(direction, before, linear=False)
    side.follow(None)
    side.update([(price, 0) for price, _ in before if price not in dict(after)] + after)
    sums = [0] * FLOW_LEVELS
    side.follow(sums)
    return sums


# Symmetries

ticks = st.integers(1, 30)
sizes = st.integers(0, 9)
changes = st.lists(
    st.tuples(st.integers(0, 700), st.lists(st.tuples(st.booleans(), ticks, sizes), max_size=4)),
    min_size=1,
    max_size=12,
)
MIDDLE = 1_000
WHOLE = [(True, tick, 5) for tick in range(1, 12)] + [(False, tick, 4) for tick in range(1, 12)]


def played(changes, *, swap=False, size_scale=1, lengths_ms=(SECOND,), linear=False):
    """Play changes of bids below and asks above MIDDLE; `swap` mirrors the book in MIDDLE."""
    feed, at_ms = Feed(lengths_ms=lengths_ms, linear=linear), 0
    for gone_ms, levels in [(0, WHOLE), *changes]:
        at_ms += gone_ms
        bids, asks = [], []
        for is_bid, tick, size in levels:
            is_bid ^= swap
            side = bids if is_bid else asks
            side.append((MIDDLE - tick if is_bid else MIDDLE + tick, size * size_scale))
        assert feed.book(at_ms, bids, asks) is None
    return feed.tick((at_ms // SECOND + 1) * SECOND)


# Not the bands: 25 bp of the mirrored mid are another distance.
ANTISYMMETRIC = (
    *(f"imbalance_{levels}_{kind}" for levels in (1, 5, 10) for kind in ("last", "event_mean")),
    *("ofi_usd", "ofi_integrated"),
)


@profile
@given(changes)
def test_swapping_the_sides_negates_imbalance_and_order_flow(changes):
    for one, other in zip(played(changes), played(changes, swap=True), strict=True):
        for name in ANTISYMMETRIC:
            if one[name] is None:
                assert other[name] is None
            else:
                assert other[name] == pytest.approx(-one[name], abs=1e-11), name
        assert other["bid_depth_10_usd_mean"] == one["ask_depth_10_usd_mean"]
        assert (other["status"], other["coverage"]) == (one["status"], one["coverage"])


@profile
@given(changes, st.sampled_from([0.5, 3, 1000]))
def test_sizes_on_another_scale_change_no_ratio_and_scale_every_flow(changes, scale):
    for one, other in zip(played(changes), played(changes, size_scale=scale), strict=True):
        for name, value in one.items():
            if name.startswith(("imbalance", "mid", "weighted", "spread", "ofi_norm", "ofi_int")):
                assert other[name] == value, name
            elif name == "ofi_usd" or name.endswith("usd_mean"):
                assert other[name] == (None if value is None else pytest.approx(value * scale))


@profile
@given(changes)
def test_sums_and_time_integrals_over_parts_are_those_of_the_whole(changes):
    windows = played(changes, lengths_ms=(100, SECOND))
    for whole in (window for window in windows if window["length_ms"] == SECOND):
        parts = [
            window
            for window in windows
            if window["length_ms"] == 100
            and whole["start_ms"] <= window["start_ms"] < whole["end_ms"]
        ]
        assert len(parts) == 10
        assert whole["observations"] == sum(part["observations"] for part in parts)
        flows = [part["ofi_usd"] or 0.0 for part in parts]
        if all(part["ofi_usd"] is not None for part in parts):
            assert whole["ofi_usd"] == sum(flows)
        assert whole["coverage"] == pytest.approx(sum(part["coverage"] for part in parts) / 10)
        for name in ("imbalance_5_mean", "ask_depth_25bp_usd_mean"):
            integral = sum((part[name] or 0.0) * part["coverage"] for part in parts) / 10
            assert (whole[name] or 0.0) * whole["coverage"] == pytest.approx(integral, abs=1e-9)


def panes(count):
    """Return following panes of random content."""
    numbers = st.integers(-(10**30), 10**30)
    mids = st.none() | st.integers(1, 10**12)
    made = st.tuples(
        st.lists(numbers, min_size=p.TIMES, max_size=p.TIMES), mids, mids, st.integers(0, 7)
    )
    return st.lists(made, min_size=count, max_size=count).map(
        lambda contents: [_pane(place, *content) for place, content in enumerate(contents)]
    )


def _pane(place, numbers, first, second, flags):
    pane = Pane(place * 100, place * 100 + 100)
    pane.enter(first)
    if second is not None:
        pane.see_mid(second)
    pane.flags, pane.times = flags, numbers
    pane.flow, pane.events = numbers[: len(pane.flow)], numbers[-len(pane.events) :]
    pane.counts = [abs(number) for number in numbers[: p.COUNTS]]
    if flags % 2:
        pane.ticker = Ticker(flags, float(place), None, None, None)
    return pane


def merged(*parts):
    whole = Pane.from_record(parts[0].to_record())
    for part in parts[1:]:
        whole.merge(Pane.from_record(part.to_record()))
    return whole


@profile
@given(panes(4))
def test_merging_panes_is_associative(four):
    one, two, three, four = four
    expected = merged(one, two, three, four).to_record()
    assert merged(merged(one, two), merged(three, four)).to_record() == expected
    assert merged(one, merged(merged(two, three), four)).to_record() == expected


@profile
@given(panes(1))
def test_a_pane_survives_its_record(made):
    record = made[0].to_record()
    assert Pane.from_record(record).to_record() == record


def test_panes_that_do_not_follow_do_not_merge():
    with pytest.raises(ValueError, match="does not follow on 100"):
        Pane(0, 100).merge(Pane(200, 300))


# Edges, and books that are not whole


def test_an_observation_on_the_edge_belongs_to_the_later_window():
    feed = Feed()
    feed.book(0, [(99, 5)], [(101, 5)])
    feed.book(SECOND, [(99, 9)])
    first, second = feed.tick(2 * SECOND)
    assert (first["observations"], first["ofi_usd"], first["imbalance_1_last"]) == (1, 0.0, 0.0)
    assert (second["observations"], second["ofi_usd"]) == (1, 4.0)
    assert second["mid_open"] == first["mid_close"] == 100.0


def test_an_empty_book_has_no_measures_and_no_coverage():
    feed = Feed()
    feed.book(0)
    [window] = feed.tick(SECOND)
    assert (window["coverage"], window["status"], window["observations"]) == (0.0, "partial", 1)
    absent = [name for name, value in window.items() if value is None]
    assert {"mid_close", "imbalance_1_mean", "ofi_usd", "ofi_levels_usd", "spread_bp_mean"} <= set(
        absent
    )


def test_a_one_sided_book_has_flow_once_it_is_whole_but_no_measures():
    feed = Feed()
    feed.book(0, [(99, 5)])
    feed.book(100, [(99, 8)])
    feed.book(500, asks=[(101, 2)])
    [window] = feed.tick(SECOND)
    assert (window["coverage"], window["status"]) == (0.5, "partial")
    assert window["ofi_usd"] == 3.0 - 2.0
    assert window["imbalance_1_event_mean"] == window["imbalance_1_last"] == 0.6


def test_a_crossed_book_is_a_gap_at_its_own_time():
    feed = Feed()
    feed.book(0, [(99, 5)], [(101, 5)])
    assert feed.book(400, [(101, 1)]) is not None
    assert feed.instrument.status is Status.GAP
    [window] = feed.tick(SECOND)
    assert (window["gaps"], window["status"], window["coverage"]) == (1, "gap", 0.4)


def test_inverse_and_linear_agree_in_usd_on_the_same_book():
    """Sizes are USD in one and coins in the other: amount × its own price is the same."""
    books = [
        (0, [(100, 3), (99, 7)], [(101, 2), (104, 6)]),
        (250, [(100, 5)], [(102, 9)]),
        (600, [(100, 0), (98, 4)], []),
        (1_300, [], [(101, 0)]),
    ]
    linear, inverse = Feed(linear=True), Feed()
    for at_ms, bids, asks in books:
        linear.book(at_ms, bids, asks)
        in_usd = ([(price, size * price) for price, size in side] for side in (bids, asks))
        inverse.book(at_ms, *in_usd)
    for one, other in zip(linear.tick(2_000), inverse.tick(2_000), strict=True):
        for name in one:
            if "usd" in name or name.startswith(("mid", "spread", "ofi", "coverage")):
                assert one[name] == other[name], name


# Time


def test_an_hour_is_filled_with_windows_and_a_millisecond_more_is_not():
    for extra_ms, expected in ((0, 60), (1, 1)):
        feed = Feed(lengths_ms=(60_000,))
        feed.book(0, [(99, 5)], [(101, 5)])
        feed.tick(3_600_000 + extra_ms)
        assert len(feed.windows) == expected


def test_a_jump_completes_what_had_begun_and_carries_the_state_into_what_it_ends_in():
    day = 86_400_000
    feed = Feed(lengths_ms=(SECOND, 60_000, day))
    feed.book(500, [(99, 6)], [(101, 2)])
    feed.tick(2 * 3_600_000 + 30_500)
    assert [(w["length_ms"], w["start_ms"] - START) for w in feed.windows] == [
        (SECOND, 0),
        (60_000, 0),
    ]
    assert [w["coverage"] for w in feed.windows] == [0.5, 59.5 / 60]
    feed.windows.clear()
    feed.tick(day + 3_600_000 * 3)
    by_length = {w["length_ms"]: w for w in feed.windows}
    second = by_length[SECOND]
    assert second["start_ms"] - START == 2 * 3_600_000 + 30_000
    assert (second["coverage"], second["mid_open"], second["imbalance_1_mean"]) == (1.0, 100.0, 0.5)
    whole = by_length[day]
    assert (whole["start_ms"], whole["coverage"]) == (START, (day - 500) / day)
    assert whole["bid_depth_1_usd_mean"] == 6.0


def test_time_that_passed_at_the_receiver_may_have_passed_at_the_venue():
    feed = Feed()
    feed.instrument.hear(0)
    feed.book(0, [(99, 5)], [(101, 5)])
    quiet_ms = 2 * 3_600_000
    feed.instrument.hear(quiet_ms * 1_000_000)
    windows, problem = feed.instrument.change(Change(START + quiet_ms, 2, 1, [], []))
    assert problem is None
    assert windows
    feed.instrument.hear(0)  # the receiver's clock went back: it says nothing then
    with pytest.raises(Refused):
        feed.instrument.change(Change(START + quiet_ms + 600_001, 3, 2, [], []))


def test_after_an_outage_the_first_snapshot_tells_the_time():
    feed = Feed()
    feed.book(0, [(99, 5)], [(101, 5)])
    feed.instrument.disconnect()
    feed.instrument.connect()
    late = START + 86_400_000
    with pytest.raises(Refused):  # a ticker can't: it would count in a window far ahead
        feed.instrument.see_ticker(Ticker(late, 1.0, None, None, None))
    snapshot = Change(late, 9, None, [(99 * UNIT, UNIT)], [(101 * UNIT, UNIT)])
    assert feed.instrument.change(snapshot)[1] is None
    assert feed.instrument.is_live


def test_a_stamp_from_the_future_is_refused_and_changes_nothing():
    feed = Feed()
    feed.book(0, [(99, 5)], [(101, 5)])
    before = feed.instrument.to_record()
    late = START + 600_001
    with pytest.raises(Refused, match="600001 ms ahead"):
        feed.instrument.change(Change(late, 2, 1, [], []))
    with pytest.raises(Refused):
        feed.instrument.see_ticker(Ticker(late, 1.0, None, None, None))
    good = Trade(START, 1, UNIT, UNIT, True)
    with pytest.raises(Refused):
        feed.instrument.trades([good, good._replace(timestamp_ms=late, sequence=2)])
    assert feed.instrument.to_record() == before


def test_of_tickers_with_one_stamp_the_last_to_arrive_counts_even_when_its_time_is_closed():
    feed = Feed()
    feed.book(0, [(99, 5)], [(101, 5)])
    first = Ticker(START + 500, 1.0, None, None, None)
    feed.instrument.see_ticker(first)
    feed.tick(1_500)
    feed.instrument.see_ticker(first._replace(mark_price=2.0))
    feed.instrument.see_ticker(first._replace(mark_price=3.0, timestamp_ms=START + 499))
    feed.tick(3_000)
    assert [window["mark_price"] for window in feed.windows] == [1.0, 2.0, 2.0]


def test_lengths_and_grace_out_of_range_are_refused():
    for lengths, grace in (((), 0), ((0,), 0), ((86_400_001,), 0), ((100,), -1), ((100,), 60_001)):
        with pytest.raises(ValueError, match="must be"):
            Timeline(spans=tumbling(*lengths), grace_ms=grace, linear=False)


def test_a_published_number_is_the_nearest_double():
    """Thirds of integers too long for a double: one division, rounded once."""
    pane = Pane(START, START)
    pane.merge(Pane(START, START + SECOND))
    pane.times[p.TIME_VALID] = 3
    pane.times[p.TIME_USD] = 10**40 + 1
    pane.times[p.TIME_FLOW_USD] = 1
    window = Closed(Span.tumbling(SECOND), pane, EQUAL)
    record = window_record(window, instrument="X", channel="c", venue="", linear=True)
    assert record["bid_depth_1_usd_mean"] == float(Fraction(10**40 + 1, 3 * UNIT * UNIT))
