"""Records of windows by hand: each expectation is worked out from docs/measures.md."""

import pytest

from orderbook.events import Ticker
from orderbook.windows import pane as p
from orderbook.windows.ofi_weights import EQUAL, Weights
from orderbook.windows.pane import Pane
from orderbook.windows.record import MAX_TICKER_AGE_MS, open_interest_usd, window_record
from orderbook.windows.span import Span
from orderbook.windows.window_series import Closed
from tests.orderbook.market import SECOND, START, Market


def record_of(pane, *, weights=EQUAL, venue="", linear=False, length_ms=SECOND):
    window = Closed(Span.tumbling(length_ms), pane, weights)
    return window_record(window, instrument="X", channel="c", venue=venue, linear=linear)


def pane_of(*, valid_ms=SECOND, trades_ms=0, flags=0):
    pane = Pane(START, START + SECOND)
    pane.flags = flags
    pane.times[p.TIME_VALID], pane.times[p.TIME_TRADES] = valid_ms, trades_ms
    pane.times[p.TIME_FLOW_USD] = pane.times[p.TIME_FLOW_USD + 1] = 1
    return pane


def market(bids, asks, **options):
    venue = Market(SECOND, **options)
    venue.book(0, bids, asks)
    return venue


@pytest.mark.parametrize(
    ("flags", "valid_ms", "status"),
    [
        (0, SECOND, "complete"),
        (0, SECOND - 1, "partial"),
        (p.FLAG_STALE, SECOND, "stale"),
        (p.FLAG_STALE | p.FLAG_RECONNECT, 500, "reconnect"),
        (p.FLAG_STALE | p.FLAG_RECONNECT | p.FLAG_GAP, 0, "gap"),
        (p.FLAG_STALE | p.FLAG_GAP, 0, "gap"),
    ],
)
def test_the_status_is_the_worst_of_what_touched_the_window(flags, valid_ms, status):
    record = record_of(pane_of(flags=flags, valid_ms=valid_ms))
    assert (record["status"], record["coverage"]) == (status, valid_ms / SECOND)


@pytest.mark.parametrize(("venue", "said"), [("", None), ("deribit", "deribit")])
def test_an_unknown_venue_is_null(venue, said):
    record = record_of(pane_of(), venue=venue)
    assert (record["venue"], record["version"]) == (said, 2)


@pytest.mark.parametrize("linear", [False, True])
def test_sizes_are_in_usd(linear):
    venue = market([(100, 4)], [(102, 2)], linear=linear)
    venue.book(500, [(100, 7)])
    venue.trade(600, 1, usd=3)
    [window] = venue.tick(SECOND)
    price = 100 if linear else 1
    assert window["bid_depth_1_usd_mean"] == 5.5 * price
    assert window["ask_depth_1_usd_mean"] == 2 * (102 if linear else 1)
    assert (window["ofi_usd"], window["buy_usd"]) == (3 * price, 3 * price)


def test_a_heavy_bid_pulls_the_weighted_mid_up():
    [window] = market([(100, 9)], [(110, 1)]).tick(SECOND)
    assert (window["mid_close"], window["weighted_mid_close"]) == (105, 109)


def test_order_flow_is_normalised_by_the_depth_over_time_of_both_sides():
    """Bids 10 then 30, asks 4: (20 + 4)/2 on average, a tenth of it for each of ten levels."""
    venue = market([(100, 10)], [(101, 4)])
    venue.book(500, [(100, 30)])
    venue.book(SECOND, [(100, 30)])
    first, second = venue.tick(2 * SECOND)
    assert first["ofi_usd"] == 20
    assert first["ofi_normalised"] == [20 / 1.2] + [0] * 9
    assert (second["observations"], second["ofi_normalised"]) == (1, [0] * 10)


def test_it_is_known_where_nothing_was_observed_but_the_book_is():
    _, still = market([(100, 10)], [(101, 4)]).tick(2 * SECOND)
    assert (still["observations"], still["ofi_normalised"], still["ofi_integrated"]) == (
        0,
        [0] * 10,
        0,
    )


def levels(count):
    return [(100 - place, 5) for place in range(count)], [
        (101 + place, 5) for place in range(count)
    ]


@pytest.mark.parametrize(
    ("bids", "asks", "populated"), [(1, 1, 1), (2, 3, 3), (4, 1, 4), (12, 3, 10)]
)
def test_equal_weights_are_those_of_the_populated_levels(bids, asks, populated):
    venue = market(levels(bids)[0], levels(asks)[1])
    venue.book(100, [(100, 6)])
    [window] = venue.tick(SECOND)
    assert window["ofi_weights"] == [1 / populated] * populated + [0] * (10 - populated)
    assert window["ofi_integrated"] == pytest.approx(window["ofi_normalised"][0] / populated)
    assert (window["ofi_weights_windows"], window["ofi_weights_explained"]) == (0, None)


@pytest.mark.parametrize("gone", [1, 2])
def test_a_level_that_had_flow_is_populated_though_it_is_gone(gone):
    bids = [(100, 5), (99, 5), (98, 5)][: 1 + gone]
    venue = market(bids, [(101, 5)])
    venue.book(100, [(price, 0) for price, _ in bids[1:]])
    [window] = venue.tick(SECOND)
    assert window["ofi_levels_usd"] == [0] + [-5] * gone + [0] * (9 - gone)
    assert window["ofi_weights"] == [1 / (1 + gone)] * (1 + gone) + [0] * (9 - gone)


def test_without_a_book_at_the_end_and_without_flow_all_levels_count():
    record = record_of(pane_of(valid_ms=500))
    assert record["ofi_weights"] == [0.1] * 10


def test_fitted_weights_are_of_the_populated_levels_over_their_sum():
    pane = pane_of()
    pane.flow[:2] = [300, 100]
    fitted = Weights((200_000, 300_000, *[62_500] * 8), 120, 654_321)
    record = record_of(pane, weights=fitted)
    assert record["ofi_weights"] == [0.4, 0.6] + [0] * 8
    first, second = record["ofi_normalised"][:2]
    assert record["ofi_integrated"] == pytest.approx(0.4 * first + 0.6 * second)
    assert (record["ofi_weights_windows"], record["ofi_weights_explained"]) == (120, 0.654321)


def test_all_about_trades_is_null_unless_the_channel_was_followed():
    unknown, known = record_of(pane_of()), record_of(pane_of(trades_ms=1))
    names = [name for name, value in known.items() if value == 0 and unknown[name] is None]
    assert names == [
        *("trades", "block_trades", "combo_trades", "liquidations"),
        *("buy_usd", "sell_usd", "trade_flow_usd", "liquidation_buy_usd", "liquidation_sell_usd"),
        *("block_usd", "combo_usd"),
    ]
    assert (unknown["trades_coverage"], known["trades_coverage"]) == (0, 0.001)


@pytest.mark.parametrize("late_ms", [0, 1])
def test_a_ticker_is_of_now_for_as_long_as_it_lasts(late_ms):
    pane = pane_of()
    stamp = pane.end_ms - MAX_TICKER_AGE_MS - late_ms
    pane.ticker = Ticker(stamp, 1.0, 2.0, 3.0, 4.0)
    record = record_of(pane)
    names = ("mark_price", "index_price", "funding_8h", "open_interest_usd", "ticker_ms")
    expected = [None] * 5 if late_ms else [1.0, 2.0, 3.0, 4.0, stamp]
    assert [record[name] for name in names] == expected


def test_open_interest_in_coins_needs_a_price():
    assert open_interest_usd(4.0, None, linear=True) is None
    assert open_interest_usd(4.0, 2.5, linear=True) == 10
    assert open_interest_usd(4.0, None, linear=False) == 4
    assert open_interest_usd(None, 2.5, linear=True) is None


def test_means_are_over_the_time_or_the_observations_in_which_they_exist():
    venue = market([(100, 3)], [(101, 1)])
    venue.book(250, [(100, 0)])  # one-sided until
    venue.book(750, [(100, 1)])
    [window] = venue.tick(SECOND)
    assert (window["coverage"], window["imbalance_1_mean"]) == (0.5, 0.25)
    assert (window["observations"], window["imbalance_1_event_mean"]) == (3, 0.25)
    assert window["imbalance_1_last"] == 0


def test_a_band_that_no_level_is_in_has_no_imbalance_and_no_depth():
    [window] = market([(99.7, 5), (90, 5)], [(100.3, 5)]).tick(SECOND)
    assert (window["imbalance_25bp_last"], window["imbalance_25bp_mean"]) == (None, None)
    assert (window["bid_depth_25bp_usd_mean"], window["imbalance_50bp_mean"]) == (0, 0)


def test_of_tickers_with_one_stamp_the_last_to_arrive_counts():
    venue = market([(100, 5)], [(101, 5)])
    for price in (1.0, 2.0):
        venue.instrument.see_ticker(Ticker(START + 500, price, None, None, None))
    venue.instrument.see_ticker(Ticker(START + 499, 3.0, None, None, None))
    assert venue.tick(SECOND)[0]["mark_price"] == 2
