"""The reference across gaps, reconnects, silence and messages that it must refuse."""

import json
from fractions import Fraction

import pytest

from tests.reference.windows import from_recording, history_of, reference_windows

INSTRUMENT = "X-PERPETUAL"
CHANNEL = f"book.{INSTRUMENT}.100ms"
CONNECTED = ("connected", 0, "worker", False)
DISCONNECTED = ("disconnected", 0, "closed")
GAP = ("gap", 0, CHANNEL, 1, 2)
NOTHING = object()


def book(time_ms, change_id, /, bid=10, ask=10, *, follows=NOTHING, **override):
    """A book with a bid of 100 and an ask of 101; a change if `follows` names its predecessor."""
    data = {
        "timestamp": time_ms,
        "type": "snapshot" if follows is NOTHING else "change",
        "change_id": change_id,
        "instrument_name": INSTRUMENT,
        "bids": [["new", 100.0, bid]],
        "asks": [["new", 101.0, ask]],
    }
    if follows is not NOTHING:
        data["prev_change_id"] = follows
    return sent({"method": "subscription", "params": {"channel": CHANNEL, "data": data | override}})


def sent(message):
    return ("message", 0, json.dumps(message).encode())


def tick(clock_ms, quiet_ms=0):
    """The tick that moves the clock to `clock_ms`."""
    return ("tick", clock_ms + 3_000, quiet_ms)


def seconds(*items):
    found = reference_windows(items, instrument=INSTRUMENT, channel=CHANNEL, lengths_ms=[1_000])
    return {window["start_ms"] // 1_000: window for window in found}


def statuses(*items):
    return [window["status"] for window in seconds(*items).values()]


def test_a_change_that_does_not_follow_is_one_gap_until_the_next_snapshot():
    found = seconds(
        CONNECTED,
        book(0, 1),
        book(1_200, 2, bid=30, follows=1),
        book(1_500, 5, bid=70, follows=4),  # 3 and 4 were lost; does not move the clock
        book(1_600, 6, bid=80, follows=5),
        GAP,
        book(3_400, 9, bid=500),
        book(3_500, 10, bid=510, follows=9),
        tick(5_250),
    )
    assert [found[second]["status"] for second in range(5)] == [
        *("complete", "gap", "gap", "gap", "complete"),
    ]
    assert [found[second]["gaps"] for second in range(5)] == [0, 1, 0, 0, 0]
    assert [found[second]["observations"] for second in range(5)] == [1, 1, 0, 2, 0]
    assert found[1]["coverage"] == Fraction(1, 5)
    assert found[1]["mid_close"] is None
    assert (found[1]["ofi_usd"], found[2]["ofi_usd"]) == (20, None)
    assert found[3]["coverage"] == Fraction(3, 5)
    assert found[3]["ofi_usd"] == 10  # not the 470 between the book before the gap and after


def test_a_gap_mark_breaks_only_the_channel_it_names():
    before = (CONNECTED, book(0, 1), book(100, 2, follows=1))
    other = ("gap", 0, f"trades.{INSTRUMENT}.100ms", 1, 2)
    assert statuses(*before, GAP, tick(1_250)) == ["gap"]
    assert statuses(*before, other, tick(1_250)) == ["complete"]


def test_a_reconnect_counts_once_and_no_flow_crosses_it():
    found = seconds(
        CONNECTED,
        book(0, 1),
        book(500, 2, bid=20, follows=1),
        DISCONNECTED,
        CONNECTED,
        book(600, 3, bid=90, follows=2),  # follows by number, but the session is another
        tick(1_100),
        book(1_400, 1, bid=500),
        book(1_500, 2, bid=503, follows=1),
        tick(3_250),
    )
    assert [window["status"] for window in found.values()] == ["reconnect", "reconnect", "complete"]
    assert [window["reconnects"] for window in found.values()] == [1, 0, 0]
    assert [window["gaps"] for window in found.values()] == [0, 0, 0]
    assert [window["ofi_usd"] for window in found.values()] == [10, 3, 0]
    assert found[0]["coverage"] == Fraction(1, 2)


def test_a_session_that_begins_without_an_end_of_the_last_is_a_reconnect():
    found = seconds(CONNECTED, book(0, 1), CONNECTED, book(300, 7), tick(1_250))
    assert (found[0]["reconnects"], found[0]["status"]) == (1, "reconnect")


def test_a_gap_is_worse_than_a_reconnect_and_both_than_silence():
    start = (CONNECTED, book(0, 1), book(100, 2, follows=1))
    assert statuses(*start, tick(200, 3_001), tick(1_250)) == ["stale"]
    assert statuses(*start, tick(200, 3_000), tick(1_250)) == ["complete"]
    assert statuses(*start, tick(200, 9_000), DISCONNECTED, tick(1_250)) == ["reconnect"]
    assert statuses(*start, GAP, DISCONNECTED, tick(1_250)) == ["gap"]
    # What is not known can't be lost.
    assert statuses(*start, DISCONNECTED, GAP, tick(1_250)) == ["reconnect"]


def test_the_first_window_is_that_of_the_first_snapshot_and_partial():
    found = seconds(
        CONNECTED,
        tick(2_100, 9_000),
        book(2_200, 2, follows=1),
        GAP,
        DISCONNECTED,
        CONNECTED,
        book(2_400, 1),
        tick(4_250),
    )
    assert list(found) == [2, 3]
    assert (found[2]["status"], found[2]["coverage"]) == ("partial", Fraction(3, 5))
    assert (found[2]["gaps"], found[2]["reconnects"]) == (0, 0)


def test_a_snapshot_that_differs_from_a_live_book_is_a_gap_since_the_last_message():
    found = seconds(
        CONNECTED,
        book(0, 9),
        book(100, 3, bids=[["new", 99.0, 7]]),
        book(200, 4, follows=3, bids=[["change", 99.0, 8]], asks=[]),
        tick(1_250),
    )
    assert (found[0]["observations"], found[0]["snapshots"], found[0]["ofi_usd"]) == (3, 2, 1)
    assert (found[0]["status"], found[0]["gaps"]) == ("gap", 1)
    assert found[0]["coverage"] == Fraction(9, 10)
    assert found[0]["bid_depth_10_usd_mean"] == Fraction(7 * 100 + 8 * 800, 900)


def test_a_snapshot_that_says_what_the_book_holds_is_no_gap():
    found = seconds(CONNECTED, book(0, 9), book(100, 3), book(200, 4, follows=3), tick(1_250))
    assert (found[0]["snapshots"], found[0]["gaps"], found[0]["status"]) == (2, 0, "complete")
    assert found[0]["coverage"] == 1


@pytest.mark.parametrize(
    "shape",
    [{"prev_change_id": 20}, {"type": None}, {"type": "change", "prev_change_id": 0}],
)
def test_older_shapes_of_a_snapshot_are_snapshots(shape):
    assert seconds(CONNECTED, book(0, 1, **shape), tick(1_250))[0]["coverage"] == 1


def test_a_duplicate_is_ignored():
    found = seconds(
        CONNECTED,
        book(0, 5),
        book(100, 6, bid=20, follows=5),
        book(100, 6, bid=20, follows=5),
        book(200, 4, bid=90, follows=3),
        book(300, 7, bid=30, follows=6),
        tick(1_250),
    )
    assert (found[0]["observations"], found[0]["ofi_usd"], found[0]["status"]) == (
        3,
        20,
        "complete",
    )


def test_a_crossed_book_is_a_gap_at_its_own_time_and_not_observed():
    found = seconds(
        CONNECTED,
        book(0, 1),
        book(400, 2, follows=1),
        book(700, 3, follows=2, bids=[["new", 101.0, 5]]),
        tick(1_250),
    )
    assert (found[0]["observations"], found[0]["gaps"], found[0]["status"]) == (2, 1, "gap")
    assert found[0]["coverage"] == Fraction(7, 10)


def test_an_unknown_delete_does_nothing():
    found = seconds(
        CONNECTED,
        book(0, 1),
        book(100, 2, follows=1, bids=[["delete", 55.5, 0.0]], asks=[]),
        book(200, 3, follows=2, bids=[["delete", 100.0, 0.0]], asks=[["new", 101.0, 12]]),
        tick(1_250),
    )
    assert (found[0]["observations"], found[0]["gaps"]) == (3, 0)
    assert found[0]["coverage"] == Fraction(1, 5)
    assert found[0]["ofi_usd"] == -10 - 2


def test_silence_lasts_from_before_the_tick_that_tells_it_to_the_one_that_ends_it():
    found = seconds(
        CONNECTED,
        book(0, 1),
        tick(1_500),
        tick(3_100, 3_001),  # nothing came since 1.5 s
        book(4_200, 2, follows=1),
        tick(5_300),
        tick(7_250),
    )
    assert [window["status"] for window in found.values()] == [
        *("complete", "stale", "stale", "stale", "stale", "complete", "complete"),
    ]


def test_a_wait_that_ends_at_the_start_of_a_window_does_not_touch_it():
    found = seconds(CONNECTED, book(0, 1), DISCONNECTED, CONNECTED, book(2_000, 1), tick(3_250, 0))
    assert [window["status"] for window in found.values()] == ["reconnect", "reconnect", "complete"]


@pytest.mark.parametrize(
    "broken",
    [
        {"timestamp": "100"},
        {"timestamp": 100.0},
        {"timestamp": True},
        {"change_id": None},
        {"prev_change_id": "1"},
        {"type": "delta"},
        {"instrument_name": "Y-PERPETUAL"},
        {"bids": None},
        {"bids": [["new", 100.0]]},
        {"bids": [["new", 100.0, 5, 5]]},
        {"bids": [["put", 100.0, 5]]},
        {"bids": [[["new"], 100.0, 5]]},
        {"bids": [["new", "100.0", 5]]},
        {"bids": [["new", 0.0, 5]]},
        {"bids": [["new", -100.0, 5]]},
        {"bids": [["new", 100.0, -5]]},
        {"bids": [["new", 100.0, 0.0]]},
        {"bids": [["change", 100.0, 0]]},
        {"bids": [["new", 100.0, float("nan")]]},
        {"bids": [["new", 100.0, float("inf")]]},
        {"bids": [["new", 100.0, 1e300]]},
        {"bids": [["new", 100.0, 0.000000001]]},
        {"bids": [["new", 100.0, 99], ["new", True, 5]]},
    ],
)
def test_a_malformed_change_is_refused_whole_and_its_successor_is_a_gap(broken):
    start = (CONNECTED, book(0, 1, bid=10), book(100, 2, **({"follows": 1} | broken)))
    [window] = seconds(*start, tick(1_250)).values()
    assert (window["observations"], window["status"]) == (1, "complete")
    assert window["bid_depth_10_usd_mean"] == 10
    assert len(history_of(start, instrument=INSTRUMENT, channel=CHANNEL).refused) == 1
    assert statuses(*start, book(200, 3, follows=2), tick(1_250)) == ["gap"]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"params":{"channel":"x"}}{}', b"NaN"]
)
def test_bytes_that_are_no_json_are_refused(data):
    history = history_of([("message", 0, data)], instrument=INSTRUMENT, channel=CHANNEL)
    assert len(history.refused) == 1
    assert history.clock_ms is None


@pytest.mark.parametrize(
    ("channel", "data"),
    [
        (f"trades.{INSTRUMENT}.raw", {}),
        (f"trades.{INSTRUMENT}.raw", [{"instrument_name": INSTRUMENT, "timestamp": 5}]),
        (f"ticker.{INSTRUMENT}.raw", {"instrument_name": INSTRUMENT}),
        (
            f"ticker.{INSTRUMENT}.raw",
            {"instrument_name": INSTRUMENT, "timestamp": 1, "mark_price": "1"},
        ),
        (CHANNEL, []),
    ],
)
def test_malformed_trades_and_tickers_are_refused(channel, data):
    item = sent({"method": "subscription", "params": {"channel": channel, "data": data}})
    history = history_of([item], instrument=INSTRUMENT, channel=CHANNEL)
    assert len(history.refused) == 1
    assert history.trades == history.tickers == []


def test_other_messages_are_not_ours():
    items = [
        sent({"id": 1, "result": "ok"}),
        sent({"method": "subscription", "params": {"channel": "quote.X-PERPETUAL", "data": {}}}),
        sent(
            {"method": "subscription", "params": {"channel": f"book.{INSTRUMENT}.raw", "data": {}}}
        ),
    ]
    history = history_of(items, instrument=INSTRUMENT, channel=CHANNEL)
    assert history.refused == history.observations == []


def test_a_book_message_too_far_ahead_is_refused_unless_a_tick_has_vouched_for_the_time():
    start = (CONNECTED, book(0, 1))
    ahead, too_far = book(600_000, 2, follows=1), book(600_001, 2, follows=1)
    assert len(seconds(*start, ahead)) == 599
    assert seconds(*start, too_far) == {}
    assert len(seconds(*start, tick(0), too_far)) == 599  # the venue said 3000


def test_the_clock_never_goes_back():
    found = seconds(
        CONNECTED,
        book(0, 1),
        tick(1_500),
        book(700, 2, bid=20, follows=1),  # happens at 1500
        tick(3_250),
    )
    assert [window["observations"] for window in found.values()] == [1, 1, 0]
    assert found[1]["imbalance_1_mean"] == (Fraction(333_333_333_333, 10**12)) / 2


def test_a_jump_of_the_clock_is_filled_up_to_an_hour():
    start = (CONNECTED, book(0, 1))
    assert len(seconds(*start, tick(3_600_000))) == 3_599
    found = seconds(*start, tick(3_600_001), tick(3_602_250))
    assert list(found) == [0, 3_600, 3_601]
    assert found[3_600]["coverage"] == 1


def test_a_recording_begins_a_session_and_again_after_each_disconnect():
    lines = [b"1 {}\n", b"2 {}\r\n", b"3 null\n", b"4 null\n", b"5 {}"]
    assert list(from_recording(lines)) == [
        ("connected", 1),
        ("message", 1, b"{}"),
        ("message", 2, b"{}"),
        ("disconnected", 3),
        ("disconnected", 4),
        ("connected", 5),
        ("message", 5, b"{}"),
    ]


@pytest.mark.parametrize("line", [b"", b"17", b"now {}", b"{} 17"])
def test_a_line_that_is_no_record_is_named(line):
    with pytest.raises(ValueError, match="line 2 of the recording"):
        list(from_recording([b"1 {}", line]))


def test_an_item_of_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="'snapshot' is not a kind"):
        seconds(("snapshot", 0))
