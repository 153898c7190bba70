"""Trades: their numbers show repetitions and holes; blocks and liquidations are counted apart."""

import pytest

from orderbook.events import Trade
from orderbook.numbering import Numbering
from tests.orderbook.market import SECOND, UNIT, Market


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
    venue.trades(*((100, number, 10, True, False, False) for number in (9, 8, 7)))
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
def test_blocks_are_no_flow_and_liquidations_are_counted_in_it_and_apart(linear):
    venue = market(linear=linear)
    venue.trade(100, 1, usd=30)
    venue.trade(200, 2, usd=20, buy=False, liquidation=True)
    venue.trade(300, 3, usd=5_000, block=True)
    venue.trade(400, 4, usd=7_000, block=True, liquidation=True)
    [window] = venue.tick(SECOND)
    usd = 100 if linear else 1  # sizes in coins at 100 each
    assert (window["trades"], window["block_trades"], window["liquidations"]) == (2, 2, 1)
    assert (window["buy_usd"], window["sell_usd"]) == (30 * usd, 20 * usd)
    assert (window["liquidation_usd"], window["block_usd"]) == (20 * usd, 12_000 * usd)
    assert window["trade_flow_ratio"] == 0.2


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
    numbering = Numbering()
    five, six = (
        Trade(ms, number, UNIT, UNIT, True, False, False) for ms, number in ((9, 5), (8, 6))
    )
    assert [each.missing for each in numbering.sort([five, six])] == [0, 0]
    assert list(numbering.sort([five])) == []
