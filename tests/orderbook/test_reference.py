"""The reference against windows that were computed by hand."""

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.windows import history_of, published, reference_windows

INVERSE = "X-PERPETUAL"
LINEAR = "X_USDC-PERPETUAL"
INTERVAL = "raw"
CONNECTED = ("connected", 0)
DISCONNECTED = ("disconnected", 0)

FIELDS = [
    *("instrument", "channel", "venue", "version", "length_ms", "start_ms", "end_ms"),
    *("observations", "snapshots", "trades", "block_trades", "combo_trades", "liquidations"),
    *("mid_open", "mid_high", "mid_low", "mid_close", "weighted_mid_close", "spread_bp_mean"),
    *("imbalance_1_last", "imbalance_1_mean", "imbalance_1_event_mean"),
    *("imbalance_5_last", "imbalance_5_mean", "imbalance_5_event_mean"),
    *("imbalance_10_last", "imbalance_10_mean", "imbalance_10_event_mean"),
    *("imbalance_10bp_last", "imbalance_10bp_mean"),
    *("imbalance_25bp_last", "imbalance_25bp_mean"),
    *("imbalance_50bp_last", "imbalance_50bp_mean"),
    *("bid_depth_1_usd_mean", "ask_depth_1_usd_mean"),
    *("bid_depth_5_usd_mean", "ask_depth_5_usd_mean"),
    *("bid_depth_10_usd_mean", "ask_depth_10_usd_mean"),
    *("bid_depth_10bp_usd_mean", "ask_depth_10bp_usd_mean"),
    *("bid_depth_25bp_usd_mean", "ask_depth_25bp_usd_mean"),
    *("bid_depth_50bp_usd_mean", "ask_depth_50bp_usd_mean"),
    *("ofi_usd", "ofi_levels_usd", "ofi_normalised", "ofi_integrated"),
    *("ofi_weights", "ofi_weights_windows", "ofi_weights_explained"),
    *("buy_usd", "sell_usd", "trade_flow_usd", "trade_flow_ratio"),
    *("liquidation_buy_usd", "liquidation_sell_usd", "block_usd", "combo_usd"),
    *("mark_price", "index_price", "funding_8h", "open_interest_usd", "ticker_ms"),
    *("status", "coverage", "trades_coverage", "gaps", "reconnects"),
    *("trade_gaps", "missed_trades", "trades_missed_since_ms", "late_trades"),
]


def message(channel, data):
    params = {"channel": channel, "data": data}
    envelope = {"jsonrpc": "2.0", "method": "subscription", "params": params}
    return ("message", 0, json.dumps(envelope).encode())


def book(time_ms, change_id, bids, asks, *, follows=None, instrument=INVERSE):
    """A change if `follows` names its predecessor, else a snapshot; levels are (price, amount)."""
    data = {
        "timestamp": time_ms,
        "type": "snapshot" if follows is None else "change",
        "change_id": change_id,
        "instrument_name": instrument,
        "bids": [["change" if amount else "delete", price, amount] for price, amount in bids],
        "asks": [["change" if amount else "delete", price, amount] for price, amount in asks],
    }
    if follows is not None:
        data["prev_change_id"] = follows
    return message(f"book.{instrument}.{INTERVAL}", data)


def trade(time_ms, direction, price, amount, *, instrument=INVERSE, **more):
    entry = {
        "timestamp": time_ms,
        "price": price,
        "amount": amount,
        "direction": direction,
        "instrument_name": instrument,
        **more,
    }
    return message(f"trades.{instrument}.100ms", [entry])


def ticker(time_ms, *, instrument=INVERSE, **values):
    data = {"timestamp": time_ms, "instrument_name": instrument, **values}
    return message(f"ticker.{instrument}.100ms", data)


def tick(clock_ms, quiet_ms=0):
    """The tick that moves the clock to `clock_ms`."""
    return ("tick", clock_ms + 3_000, quiet_ms)


def windows(items, *lengths_ms, instrument=INVERSE):
    return reference_windows(
        items,
        instrument=instrument,
        channel=f"book.{instrument}.{INTERVAL}",
        lengths_ms=lengths_ms or [1_000],
    )


def by_start(found):
    return {window["start_ms"]: window for window in found}


def the_three_observations():
    """100 × 10 against 102 × 30 from 0; three changes in [1000, 2000), a fourth at its end."""
    return [
        CONNECTED,
        book(0, 1, [(100, 10)], [(102, 30)]),
        book(1_000, 2, [(100, 50)], [], follows=1),  # 50 against 30: +0.25
        book(1_250, 3, [(101, 8)], [], follows=2),  # 8 against 30 at the best, 58 against 30 in all
        book(1_750, 4, [(101, 0)], [(102, 0), (104, 150)], follows=3),  # 50 against 150: −0.5
        book(2_000, 5, [(100, 1_000)], [], follows=4),  # on the edge: belongs to the next window
        tick(2_250),
    ]


def test_worked_example_of_three_levels():
    items = [
        CONNECTED,
        book(0, 1, [(1.40, 10), (1.39, 10)], [(1.50, 5)]),
        book(100, 2, [(1.41, 7)], [], follows=1),
        tick(1_250),
    ]
    [window] = windows(items)
    assert window["ofi_levels_usd"] == [7, 10, 10, 0, 0, 0, 0, 0, 0, 0]
    assert window["ofi_usd"] == 7


def test_every_field_of_a_window_of_three_observations():
    window = by_start(windows(the_three_observations()))[1_000]
    assert list(window) == FIELDS
    assert (window["observations"], window["status"], window["coverage"]) == (3, "complete", 1)
    assert (window["mid_open"], window["mid_close"]) == (101, 102)
    assert (window["mid_high"], window["mid_low"]) == (102, 101)
    # Heavy ask: 50 at 100, 150 at 104, so the weighted mid is near the bid.
    assert window["weighted_mid_close"] == 101
    assert window["imbalance_1_last"] == Fraction(-1, 2)
    best = [Fraction(1, 4), rounded(Fraction(8 - 30, 8 + 30)), Fraction(-1, 2)]
    assert window["imbalance_1_event_mean"] == sum(best) / 3
    assert window["imbalance_1_mean"] == (best[0] * 250 + best[1] * 500 + best[2] * 250) / 1_000
    five = [Fraction(1, 4), rounded(Fraction(58 - 30, 58 + 30)), Fraction(-1, 2)]
    assert window["imbalance_5_event_mean"] == sum(five) / 3
    assert window["imbalance_10_mean"] == (five[0] * 250 + five[1] * 500 + five[2] * 250) / 1_000
    spreads = [rounded(Fraction(20_000, 101)), rounded(Fraction(10_000 * 2, 203)), None]
    spreads[2] = rounded(Fraction(40_000, 102))
    expected = (spreads[0] * 250 + spreads[1] * 500 + spreads[2] * 250) / 1_000
    assert window["spread_bp_mean"] == expected
    assert window["bid_depth_1_usd_mean"] == Fraction(50 * 250 + 8 * 500 + 50 * 250, 1_000)
    assert window["bid_depth_5_usd_mean"] == Fraction(50 * 250 + 58 * 500 + 50 * 250, 1_000)
    assert window["ask_depth_10_usd_mean"] == Fraction(30 * 750 + 150 * 250, 1_000)
    # The bid grows by 40, a better one of 8 appears and is gone; the ask of 30 rises away.
    assert window["ofi_usd"] == 40 + 8 + (-8 + 30)
    # At level 2 the bid 100 × 50 appears behind 101, then vanishes.
    assert window["ofi_levels_usd"] == [70, 50 - 50, 0, 0, 0, 0, 0, 0, 0, 0]
    # Three times with both sides' depth; at level 2 nothing is left, but its flow is not 0.
    both = (50 + 30) * 250 + (58 + 30) * 500 + (50 + 150) * 250
    depth = Fraction(both, 1_000) / 2 / 10
    assert window["ofi_normalised"] == [70 / depth] + [0] * 9
    assert window["ofi_integrated"] == 70 / depth
    assert window["ofi_weights"] == [1] + [0] * 9


def rounded(ratio):
    return Fraction((ratio * 10**12 + Fraction(1, 2)).__floor__(), 10**12)


def test_a_falling_bid_takes_away_what_stood_there_not_what_stands_now():
    items = [
        CONNECTED,
        book(0, 1, [(100, 10), (99, 77)], [(102, 30)]),
        book(10, 2, [(100, 0)], [], follows=1),
        tick(1_250),
    ]
    [window] = windows(items)
    assert window["ofi_usd"] == -10  # the common mistake gives −77


def test_a_change_on_the_edge_belongs_to_the_later_window():
    found = by_start(windows([*the_three_observations(), tick(3_250)]))
    assert found[1_000]["mid_close"] == found[2_000]["mid_open"] == 102
    assert found[1_000]["imbalance_1_last"] == Fraction(-1, 2)
    assert (found[2_000]["observations"], found[2_000]["ofi_usd"]) == (1, 950)
    assert found[2_000]["imbalance_1_mean"] == rounded(Fraction(1_000 - 150, 1_150))


def test_of_changes_at_one_time_each_is_observed_and_the_last_has_the_duration():
    items = [
        CONNECTED,
        book(0, 1, [(100, 10)], [(101, 10)]),
        book(500, 2, [(100, 30)], [], follows=1),
        book(500, 3, [(100, 10)], [(101, 30)], follows=2),
        tick(1_250),
    ]
    [window] = windows(items)
    assert window["imbalance_1_event_mean"] == (0 + Fraction(1, 2) - Fraction(1, 2)) / 3
    assert window["imbalance_1_mean"] == Fraction(-1, 4)


def test_a_window_without_observations_is_published_with_the_carried_state():
    items = [CONNECTED, book(0, 1, [(100, 30)], [(101, 10)]), tick(2_250)]
    second = by_start(windows(items))[1_000]
    assert (second["observations"], second["ofi_usd"], second["status"]) == (0, 0, "complete")
    assert second["ofi_levels_usd"] == [0] * 10
    assert second["ofi_normalised"] == [0] * 10
    assert second["ofi_integrated"] == 0
    assert second["mid_open"] == second["mid_close"] == Fraction(201, 2)
    assert second["imbalance_1_last"] == second["imbalance_1_mean"] == Fraction(1, 2)
    assert second["imbalance_1_event_mean"] is None


def test_an_empty_book_has_no_measures_and_no_flow():
    items = [CONNECTED, book(0, 1, [], []), tick(1_250)]
    [window] = windows(items)
    assert (window["status"], window["coverage"], window["observations"]) == ("partial", 0, 1)
    absent = [name for name, value in window.items() if value is None]
    assert absent == [
        name
        for name in FIELDS
        if name.startswith(("mid_", "weighted", "spread", "imbalance", "bid_", "ask_", "ofi_"))
        or name in ("mark_price", "index_price", "funding_8h", "open_interest_usd", "ticker_ms")
        or name in ("venue", "trades_missed_since_ms", "combo_usd", "block_usd")
        or (name.endswith("trades") and name not in ("missed_trades", "late_trades"))
        or name.startswith(("liquidation", "buy_", "sell_", "trade_flow"))
    ]


def test_a_one_sided_book_has_flow_but_no_state():
    items = [
        CONNECTED,
        book(0, 1, [(100, 10)], [(101, 10)]),
        book(400, 2, [], [(101, 0)], follows=1),  # the ask vanishes: +10
        book(600, 3, [(100, 15)], [], follows=2),  # +5
        tick(1_250),
    ]
    [window] = windows(items)
    assert (window["ofi_usd"], window["status"]) == (15, "partial")
    assert window["coverage"] == Fraction(2, 5)
    assert window["mid_close"] is window["imbalance_1_last"] is None
    assert window["imbalance_1_mean"] == window["imbalance_1_event_mean"] == 0
    assert window["ofi_normalised"][0] == 15 / Fraction(10 + 10, 2 * 10)


def test_a_band_is_narrower_than_the_levels_and_may_be_empty():
    # The mid is 1000: 10 bp reach to 999 and 1001, not including them.
    items = [
        CONNECTED,
        book(0, 1, [(999.5, 3), (999, 20), (996, 7)], [(1000.5, 1), (1004, 6)]),
        book(500, 2, [(999.5, 0)], [(1000.5, 0), (1001, 4)], follows=1),
        tick(1_250),
    ]
    [window] = windows(items)
    assert window["imbalance_10bp_last"] is None
    assert window["imbalance_10bp_mean"] == Fraction(3 - 1, 3 + 1)
    assert window["bid_depth_10bp_usd_mean"] == Fraction(3, 2)
    assert window["imbalance_25bp_last"] == Fraction(20 - 4, 20 + 4)
    assert window["imbalance_50bp_last"] == Fraction(27 - 10, 27 + 10)
    assert window["ask_depth_50bp_usd_mean"] == Fraction(7 + 10, 2)


def test_a_linear_instrument_is_weighed_at_its_own_prices():
    items = [
        CONNECTED,
        book(0, 1, [(100, 2), (99, 1)], [(101, 3)], instrument=LINEAR),
        book(500, 2, [(100, 2.5)], [(101, 0), (102, 1)], follows=1, instrument=LINEAR),
        trade(600, "sell", 100, 0.5, instrument=LINEAR),
        ticker(700, mark_price=100.5, open_interest=1_000, instrument=LINEAR),
        tick(1_250),
    ]
    [window] = windows(items, instrument=LINEAR)
    assert window["ofi_usd"] == 50 + 303
    assert window["bid_depth_5_usd_mean"] == Fraction(299 + 349, 2)
    assert window["imbalance_1_last"] == Fraction(15, 35)
    assert (window["sell_usd"], window["trade_flow_ratio"]) == (50, -1)
    assert window["open_interest_usd"] == 100_500


def test_trades_count_by_their_own_time_and_blocks_apart():
    items = [
        CONNECTED,
        book(0, 1, [(100, 10)], [(101, 10)]),
        trade(999, "buy", 101, 30),
        trade(1_000, "sell", 100, 10, liquidation="T"),
        trade(1_500, "buy", 90, 5_000, block_trade_id="7"),
        book(2_100, 2, [(100, 11)], [], follows=1),
        trade(1_999, "buy", 101, 50),  # within the grace
        tick(3_250),
    ]
    found = by_start(windows(items))
    assert (found[0]["trades"], found[0]["buy_usd"]) == (1, 30)
    second = found[1_000]
    assert (second["trades"], second["block_trades"], second["liquidations"]) == (2, 1, 1)
    assert (second["buy_usd"], second["sell_usd"], second["trade_flow_usd"]) == (50, 10, 40)
    assert second["trade_flow_ratio"] == Fraction(2, 3)
    assert (found[2_000]["trades"], found[2_000]["trade_flow_ratio"]) == (0, None)


def test_a_late_trade_only_counts_as_late_in_the_oldest_open_window():
    items = [
        CONNECTED,
        ("trades_followed", True),
        book(0, 1, [(100, 10)], [(101, 10)]),
        book(2_249, 2, [(100, 11)], [], follows=1),
        trade(999, "buy", 101, 50),  # [0, 1000) is published, [1000, 2000) not until 2250
        book(2_250, 3, [(100, 12)], [], follows=2),
        trade(1_999, "buy", 101, 50),  # now it is
        tick(5_250),
    ]
    found = windows(items, 1_000, 5_000)
    seconds = by_start(window for window in found if window["length_ms"] == 1_000)
    assert [seconds[start]["late_trades"] for start in (0, 1_000, 2_000, 3_000)] == [0, 1, 1, 0]
    assert sum(window["trades"] for window in seconds.values()) == 0
    assert (found[-1]["length_ms"], found[-1]["trades"], found[-1]["late_trades"]) == (5_000, 2, 0)


def test_the_context_is_the_latest_ticker_before_the_end_known_at_publication():
    items = [
        CONNECTED,
        ticker(0, mark_price=1.0),
        book(0, 1, [(100, 10)], [(101, 10)]),
        ticker(900, mark_price=100.25, index_price=None, funding_8h=1.423e-4, open_interest=7e6),
        ticker(800, mark_price=3.0),
        ticker(1_000, mark_price=5.0),
        tick(1_250),
        ticker(999, mark_price=4.0),
        tick(2_250),
    ]
    found = by_start(windows(items))
    assert found[0]["mark_price"] == Fraction(401, 4)
    assert found[0]["index_price"] is None
    assert found[0]["funding_8h"] == Fraction(1_423, 10_000_000)
    assert found[0]["open_interest_usd"] == 7_000_000
    assert found[1_000]["mark_price"] == 5
    assert found[1_000]["funding_8h"] is None


def test_a_window_is_published_when_the_clock_reaches_its_end_and_the_grace():
    items = [CONNECTED, book(10, 1, [(100, 10)], [(101, 10)])]
    assert windows([*items, tick(1_249)]) == []
    assert len(windows([*items, tick(1_250)])) == 1
    assert len(windows([*items, book(1_250, 2, [(100, 9)], [], follows=1)])) == 1


def test_published_numbers_are_doubles_and_counts_stay_whole():
    window = published(by_start(windows(the_three_observations()))[1_000])
    assert list(window) == FIELDS
    text = json.dumps(window)
    assert '"ofi_usd": 70.0' in text
    assert '"observations": 3' in text
    assert '"coverage": 1.0' in text
    assert '"mark_price": null' in text
    assert '"gaps": 0' in text
    assert '"ask_depth_1_usd_mean": 60.0' in text


def test_exponents_and_integers_are_the_same_price():
    items = [
        CONNECTED,
        book(0, 1, [(83_900, 10)], [(84_000, 10)]),
        ("message", 0, book(1, 2, [(0.0, 0)], [], follows=1)[2].replace(b"0.0, 0", b"8.39e4, 0")),
        tick(1_250),
    ]
    [window] = windows(items)
    assert (window["observations"], window["mid_close"]) == (2, None)


LEVEL = st.tuples(st.integers(1, 60), st.integers(0, 50))
CHANGE = st.tuples(st.integers(0, 400), st.lists(LEVEL, max_size=3), st.lists(LEVEL, max_size=3))


def mirrored(price):
    return 200 - price


def feed_of(changes, *, swapped):
    """Bids at 1–60, asks at 140–199: swapping the sides keeps every distance to the mid."""
    items = [CONNECTED]
    clock_ms, previous = 0, None
    for change_id, (step_ms, low, high) in enumerate(
        [(0, [(60, 5)], [(60, 8)]), *changes], start=1
    ):
        clock_ms += step_ms
        bids, asks = (high, low) if swapped else (low, high)
        asks = [(mirrored(price), amount) for price, amount in asks]
        items.append(book(clock_ms, change_id, bids, asks, follows=previous))
        previous = change_id
    return [*items, tick(8_250)]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(CHANGE, max_size=15))
def test_swapping_the_sides_changes_the_sign_and_sums_add_up(changes):
    found = windows(feed_of(changes, swapped=False), 1_000, 4_000)
    other = windows(feed_of(changes, swapped=True), 1_000, 4_000)
    for window, mirror in zip(found, other, strict=True):
        for name in ("imbalance_1_last", "imbalance_5_last", "ofi_usd", "ofi_integrated"):
            assert window[name] == (None if mirror[name] is None else -mirror[name])
        assert window["bid_depth_10_usd_mean"] == mirror["ask_depth_10_usd_mean"]
    seconds = [window for window in found if window["length_ms"] == 1_000]
    for whole in (window for window in found if window["length_ms"] == 4_000):
        parts = [
            part for part in seconds if whole["start_ms"] <= part["start_ms"] < whole["end_ms"]
        ]
        assert sum(part["observations"] for part in parts) == whole["observations"]
        if all(part["ofi_usd"] is not None for part in parts):
            assert sum(part["ofi_usd"] for part in parts) == whole["ofi_usd"]
        assert sum(part["coverage"] for part in parts) == 4 * whole["coverage"]


def test_history_keeps_what_was_written_to_the_last_digit():
    items = [CONNECTED, book(0, 1, [(0.00000001, 10)], [(0.00000003, 0.00000007)])]
    [seen] = history_of(items, instrument=INVERSE, channel=f"book.{INVERSE}.raw").observations
    assert seen.after.mid == Decimal("2e-8")
    assert seen.after.asks[0].amount == Decimal("7e-8")


@pytest.mark.parametrize("lengths", [[1_000, 1_000], [1_000]])
def test_a_length_asked_for_twice_is_computed_once(lengths):
    assert len(windows(the_three_observations(), *lengths)) == 2
