"""Windows that overlap are what tumbling windows are, at every multiple of the hop."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderbook.windows.span import MAX_OVERLAP, Span, ordered, tumbling
from tests.orderbook.market import SECOND, START, Market

profile = settings(max_examples=40, derandomize=True, database=None, deadline=None)
OWN = ("hop_ms", "ofi_integrated", "ofi_weights", "ofi_weights_windows", "ofi_weights_explained")
HOUR = 3_600_000
steps = st.lists(
    st.tuples(
        st.integers(0, 900),
        st.sampled_from(["bid", "ask", "trade", "late", "gap", "connect", "tick"]),
        st.integers(1, 9),
    ),
    max_size=25,
)


def played(drawn, *spans, shift_ms=0, grace_ms=250):
    """Play drawn steps, all of them earlier by `shift_ms`."""
    venue, at_ms = Market(*spans, grace_ms=grace_ms), 700 - shift_ms
    venue.book(at_ms, [(99, 5)], [(101, 5)])
    for gone_ms, kind, size in drawn:
        at_ms += gone_ms
        is_live = venue.instrument.is_live
        if kind in ("bid", "ask") and not is_live:
            venue.book(at_ms, [(99, 5)], [(101, 5)], snapshot=True)
        elif kind == "bid":
            venue.book(at_ms, [(99 - size % 3, size)])
        elif kind == "ask":
            venue.book(at_ms, [], [(101 + size % 3, size)])
        elif kind == "trade":
            venue.trade(at_ms, usd=size)
        elif kind == "late":
            venue.trade(at_ms - 300 * size, usd=size)
        elif kind == "gap":
            venue.instrument.lose()
        elif kind == "connect":
            venue.instrument.connect()
        else:
            venue.tick(at_ms)
    venue.tick(at_ms + 4_000)
    return venue.windows


def told(windows, shift_ms=0):
    """Return windows by their start without what overlapping ones have of their own."""
    return {
        window["start_ms"] + shift_ms: {
            name: value + shift_ms if name in ("start_ms", "end_ms") else value
            for name, value in window.items()
            if name not in OWN and name != "late_trades"
        }
        for window in windows
    }


@profile
@given(steps)
def test_each_is_the_tumbling_window_of_a_feed_that_is_shifted_to_it(drawn):
    """The direct computation: the same feed, moved so that the window is at a multiple of 1 s."""
    hopping = told(played(drawn, (SECOND, 250)))
    for shift_ms in (0, 250, 500, 750):
        direct = told(played(drawn, SECOND, shift_ms=shift_ms), shift_ms)
        shifted = {start: window for start, window in hopping.items() if start in direct}
        assert shifted == direct
        assert direct
    assert sorted(hopping) == list(range(min(hopping), max(hopping) + 1, 250))


@profile
@given(steps)
def test_other_spans_beside_it_change_nothing(drawn):
    alone = played(drawn, (SECOND, 250))
    beside = played(drawn, 100, SECOND, (SECOND, 250), (2_000, 500))
    assert [w for w in beside if w.get("hop_ms") == 250] == alone
    assert [w for w in beside if w["length_ms"] == 100] == played(drawn, 100)


def test_the_record_names_the_hop_only_where_windows_overlap():
    venue = Market(SECOND, (SECOND, 500))
    venue.book(0, [(99, 5)], [(101, 5)])
    venue.tick(SECOND)
    assert [(w["start_ms"] - START, w.get("hop_ms")) for w in venue.windows] == [
        (-500, 500),
        (0, 500),
        (0, None),
    ]
    assert list(venue.windows[1])[4:6] == ["length_ms", "hop_ms"]
    assert "hop_ms" not in venue.windows[2]


def test_the_first_windows_are_all_that_contain_the_first_snapshot():
    venue = Market((SECOND, 250))
    venue.book(600, [(99, 5)], [(101, 5)])
    venue.tick(1_500)
    assert [w["start_ms"] - START for w in venue.windows] == [-250, 0, 250, 500]
    assert venue.column("coverage") == [0.15, 0.4, 0.65, 0.9]
    assert set(venue.column("status")) == {"partial"}


def test_a_trade_that_one_window_misses_is_late_there_and_counted_in_the_others():
    venue = Market((SECOND, 500), grace_ms=100)
    venue.instrument.follow_trades(True)
    venue.book(0, [(99, 5)], [(101, 5)])
    venue.tick(1_100)  # [0, 1000) is published, [500, 1500) is not
    venue.trade(900)
    venue.trade(400)
    venue.tick(2_100)
    starts = [start - START for start in venue.column("start_ms")]
    assert starts == [-500, 0, 500, 1_000]
    assert venue.column("trades") == [0, 0, 1, 0]
    assert venue.column("late_trades") == [0, 0, 2, 0]


@pytest.mark.parametrize("gone_ms", [HOUR + 1, 2 * HOUR + 777, 4 * HOUR, 26 * HOUR])
@pytest.mark.parametrize("span", [(2_000, 500), (HOUR, HOUR // 4), (3 * HOUR, HOUR)])
def test_a_jump_leaves_out_those_that_are_wholly_inside(gone_ms, span):
    length, hop = span
    venue = Market(span)
    venue.book(100, [(99, 5)], [(101, 5)])
    before, after = 100 + 3 * length, 100 + 3 * length + gone_ms
    for at_ms in range(100, before, HOUR):  # not to jump yet
        venue.tick(at_ms)
    venue.tick(before)
    venue.tick(after)
    venue.tick(after + HOUR)
    first = (100 - length) // hop * hop + hop
    starts = range(first, after + HOUR - length + 1, hop)
    wanted = [s for s in starts if not (s > before and s + length <= after)]
    assert [start - START for start in venue.column("start_ms")] == wanted
    assert {w["coverage"] for w in venue.windows if w["start_ms"] - START > 100} == {1.0}


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ((0, 0), "lengths must be"),
        ((86_400_001, 86_400_001), "lengths must be"),
        ((1_000, 300), "whole part"),
        ((1_000, 0), "whole part"),
        ((1_000, 2_000), "whole part"),
        ((1_000 * (MAX_OVERLAP + 1), 1_000), "overlap at most"),
    ],
)
def test_spans_that_cannot_be_are_refused(span, message):
    with pytest.raises(ValueError, match=message):
        ordered([Span(*span)])
    with pytest.raises(ValueError, match="there is none"):
        ordered([])


def test_spans_are_in_order_and_once():
    assert ordered([Span(10_000, 1_000), *tumbling(10_000, 1_000), Span(10_000, 1_000)]) == (
        Span(1_000, 1_000),
        Span(10_000, 1_000),
        Span(10_000, 10_000),
    )
