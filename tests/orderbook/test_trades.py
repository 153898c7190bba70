"""Trades: their numbers show repetitions and holes; blocks and liquidations are counted apart."""

import pytest

from orderbook.events import Trade
from orderbook.trade_sequence import TradeSequence
from tests.orderbook.market import SECOND, START, UNIT, Market


def market(*spans, **options):
    made = Market(*(spans or (SECOND,)), **options)
    made.book(0, [(99, 5)], [(101, 5)])
    return made


def test_a_hole_in_the_numbers_is_a_gap_in_the_window_where_it_shows():
    venue = market()
    venue.trade(100, 7)
    venue.trade(200, 8)
    venue.trade(300, 12)  # 9, 10 and 11 did not come
    venue.book(1_500, [(99, 6)])
    venue.trade(1_400, 20)
    venue.tick(2 * SECOND)
    assert venue.column("trade_gaps") == [1, 1]
    assert venue.column("missed_trades") == [3, 7]
    assert venue.column("trades") == [3, 1]
    assert venue.column("status") == ["complete", "complete"]


def test_the_first_number_that_is_ever_seen_follows_on_nothing():
    venue = market()
    venue.trade(100, 140_284_854)
    assert (venue.tick(SECOND)[0]["trade_gaps"], venue.column("trades")) == (0, [1])


def test_a_repetition_is_ignored_in_the_next_session_too():
    venue = market()
    venue.trade(100, 7)
    venue.trade(100, 7)
    venue.instrument.disconnect()
    venue.instrument.connect()
    venue.book(300, [(99, 5)], [(101, 5)], snapshot=True)
    venue.trade(100, 7)
    venue.trade(400, 8)
    [window] = venue.tick(SECOND)
    assert (window["trades"], window["trade_gaps"], window["buy_usd"]) == (2, 0, 20)


def test_what_a_disconnect_has_cost_is_known_from_the_numbers():
    venue = market()
    venue.trade(100, 7)
    venue.instrument.disconnect()
    venue.instrument.connect()
    venue.book(1_300, [(99, 5)], [(101, 5)], snapshot=True)
    venue.trade(1_400, 50)
    venue.tick(2 * SECOND)
    assert venue.column("missed_trades") == [0, 42]
    assert venue.column("trade_gaps") == [0, 1]


def test_a_lower_number_of_a_later_trade_begins_a_new_numbering():
    venue = market()
    venue.trade(100, 5_000)
    venue.trade(200, 1)
    venue.trade(200, 1)
    venue.trade(300, 2)
    venue.trade(400, 4)
    [window] = venue.tick(SECOND)
    assert (window["trades"], window["trade_gaps"], window["missed_trades"]) == (4, 1, 1)


def test_within_a_notification_the_order_is_that_of_the_numbers():
    venue = market()
    venue.trades(*((100, number, 10, True, {}) for number in (9, 8, 7)))
    [window] = venue.tick(SECOND)
    assert (window["trades"], window["trade_gaps"]) == (3, 0)


def test_trades_before_the_first_snapshot_count_nowhere_but_their_numbers_are_known():
    venue = Market(SECOND)
    venue.trade(0, 7)
    venue.trade(0, 20)
    venue.book(100, [(99, 5)], [(101, 5)])
    venue.trade(0, 20)
    venue.trade(300, 22)
    [window] = venue.tick(SECOND)
    assert (window["trades"], window["trade_gaps"], window["missed_trades"]) == (1, 1, 1)


def test_trades_without_numbers_are_all_new():
    venue = market()
    venue.trade(100)
    venue.trade(100)
    assert venue.tick(SECOND)[0]["trades"] == 2


@pytest.mark.parametrize("linear", [False, True])
def test_blocks_and_legs_of_combos_are_no_flow_and_counted_apart(linear):
    venue = market(linear=linear)
    venue.trade(100, 1, usd=30)
    venue.trade(200, 2, usd=20, buy=False, liquidated="T")
    venue.trade(300, 3, usd=5_000, is_block=True)
    venue.trade(400, 4, usd=7_000, is_block=True, is_combo=True, liquidated="T")
    venue.trade(500, 5, usd=900, is_combo=True, liquidated="M")
    [window] = venue.tick(SECOND)
    usd = 100 if linear else 1  # sizes in coins at 100 each
    assert (window["trades"], window["block_trades"], window["combo_trades"]) == (2, 2, 1)
    assert (window["buy_usd"], window["sell_usd"]) == (30 * usd, 20 * usd)
    assert (window["block_usd"], window["combo_usd"]) == (12_000 * usd, 900 * usd)
    assert window["liquidations"] == 1
    assert (window["liquidation_buy_usd"], window["liquidation_sell_usd"]) == (0, 20 * usd)
    assert window["trade_flow_usd"] == 10 * usd
    assert window["trade_flow_ratio"] == 0.2


@pytest.mark.parametrize(
    ("liquidated", "buy", "bought", "sold"),
    [
        ("T", True, 7, 0),
        ("T", False, 0, 7),
        ("M", True, 0, 7),  # the taker buys of a maker whose long position is closed
        ("M", False, 7, 0),
        ("MT", True, 7, 7),
        ("MT", False, 7, 7),
        ("", True, 0, 0),
    ],
)
def test_a_liquidation_counts_by_what_the_liquidated_order_did(liquidated, buy, bought, sold):
    venue = market()
    venue.trade(100, 1, usd=7, buy=buy, liquidated=liquidated)
    [window] = venue.tick(SECOND)
    assert window["liquidations"] == (1 if liquidated else 0)
    assert (window["liquidation_buy_usd"], window["liquidation_sell_usd"]) == (bought, sold)
    assert (window["buy_usd"], window["sell_usd"]) == ((7, 0) if buy else (0, 7))


TRADED = (
    *("trades", "block_trades", "combo_trades", "liquidations", "buy_usd", "sell_usd"),
    *("trade_flow_usd", "trade_flow_ratio", "liquidation_buy_usd", "liquidation_sell_usd"),
    *("block_usd", "combo_usd"),
)


def test_without_a_trades_channel_nothing_is_known_of_trades():
    venue = market()
    venue.tick(2 * SECOND)
    for window in venue.windows:
        assert {window[name] for name in TRADED} == {None}
        assert (window["trades_coverage"], window["status"]) == (0, "complete")


def test_a_channel_that_is_followed_and_silent_means_that_nothing_was_traded():
    venue = market()
    venue.instrument.follow_trades(True)
    venue.tick(2 * SECOND)
    assert venue.column("trades") == [0, 0]
    assert venue.column("buy_usd") == [0, 0]
    assert venue.column("trade_flow_ratio") == [None, None]
    assert venue.column("trades_coverage") == [1, 1]


def test_trades_are_covered_from_the_first_message_to_the_end_of_the_session():
    venue = market()
    venue.book(600, [(99, 6)])
    venue.trade(500, 1)
    venue.book(2_250, [(99, 7)])
    venue.instrument.disconnect()
    venue.tick(4 * SECOND)
    assert venue.column("trades_coverage") == [0.4, 1, 0.25, 0]
    assert venue.column("trades") == [1, 0, 0, None]
    assert venue.column("buy_usd") == [10, 0, 0, None]


def test_in_the_next_session_trades_are_unknown_until_it_says_that_they_are_followed():
    venue = market()
    venue.trade(100, 1)
    venue.instrument.connect()
    venue.book(1_000, [(99, 5)], [(101, 5)], snapshot=True)
    venue.book(2_500, [(99, 6)])
    venue.instrument.follow_trades(True)
    venue.tick(3 * SECOND)
    assert venue.column("trades_coverage") == [0, 0, 0.5], "the clock stood still in the first"


def test_a_hole_says_since_when_in_all_windows_that_are_open():
    venue = market(SECOND, 5 * SECOND, grace_ms=250)
    venue.trade(700, 1)
    venue.book(1_300, [(99, 6)])  # [0, 1 s) is published
    venue.book(2_100, [(99, 7)])
    venue.trade(2_050, 49)
    venue.tick(6 * SECOND)
    since = {
        (window["length_ms"], window["start_ms"] - START): window["trades_missed_since_ms"]
        for window in venue.windows
    }
    assert since == {
        (SECOND, 0): None,
        (SECOND, SECOND): START + 700,
        (SECOND, 2 * SECOND): START + 700,
        (SECOND, 3 * SECOND): None,
        (SECOND, 4 * SECOND): None,
        (5 * SECOND, 0): START + 700,
    }
    assert venue.column("missed_trades") == [0, 0, 47, 0, 0, 47]


def test_a_hole_ahead_of_a_clock_that_stands_is_in_the_windows_that_come():
    venue = market()
    venue.trade(500, 1)
    venue.trade(2_500, 9)  # the book is still: its clock is at 0
    venue.tick(4 * SECOND)
    assert venue.column("trades_missed_since_ms") == [START] * 3 + [None]
    assert venue.column("missed_trades") == [7, 0, 0, 0]


def test_of_two_holes_the_earlier_counts():
    venue = market()
    venue.trade(200, 1)
    venue.book(400, [(99, 6)])
    venue.trade(400, 5)
    venue.book(800, [(99, 7)])
    venue.trade(800, 9)
    [window] = venue.tick(SECOND)
    assert (window["trade_gaps"], window["trades_missed_since_ms"]) == (2, START + 200)


def test_the_last_number_survives_the_record():
    venue = market()
    venue.trade(100, 7)
    other = market()
    other.instrument.restore(venue.instrument.to_record())
    other.trade(100, 7)
    other.trade(500, 9)
    assert (other.tick(SECOND)[0]["trades"], other.column("missed_trades")) == (2, [1])


def test_a_number_that_went_ahead_in_time_does_not_let_an_old_one_begin_anew():
    """The clock of one trade lags: 6 is stamped before 5, whose repetition is one all the same."""
    numbering = TradeSequence()
    five, six = (Trade(ms, number, UNIT, UNIT, True) for ms, number in ((9, 5), (8, 6)))
    assert [each.missing for each in numbering.sort([five, six])] == [0, 0]
    assert list(numbering.sort([five])) == []
