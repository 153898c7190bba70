"""Recordings without marks, of other collectors or older: their ticks follow from receive times."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from app.processing.processor import Processor, Rules
from app.recordings.compute import Tally, compute
from app.recordings.derived_ticks import MAX_DELAY_MS, DerivedTicks
from app.recordings.reader import DISCONNECT
from app.recordings.segments import Line
from app.recordings.to_frames import FrameWriter
from models.frame import Tick
from models.window import encode_window
from tests.recordings.made import START_NS, notification

NAME = "BTC-PERPETUAL"
START_MS = START_NS // 1_000_000
DELAY_MS = 35
RULES = Rules((1_000,), 250, 3_000)


def line(at_ms: int, channel: str, data: Any) -> Line:
    """Return a line that was sent at a time after the start, and received a little later."""
    return (START_MS + at_ms + DELAY_MS) * 1_000_000, notification(channel, data)


def book(at_ms: int, change_id: int, previous: int | None = None, interval: str = "100ms") -> Line:
    data: dict[str, Any] = {
        "type": "snapshot" if previous is None else "change",
        "timestamp": START_MS + at_ms,
        "instrument_name": NAME,
        "change_id": change_id,
        "bids": [["new", 100.0, 10.0 + change_id]],
        "asks": [["new", 101.0, 20.0]],
    }
    return line(at_ms, f"book.{NAME}.{interval}", data | {"prev_change_id": previous})


def ticker(at_ms: int, mark: float) -> Line:
    figures = {"mark_price": mark, "index_price": mark, "open_interest": mark, "funding_8h": 1e-5}
    data = {"timestamp": START_MS + at_ms, "instrument_name": NAME, "state": "open"}
    return line(at_ms, f"ticker.{NAME}.100ms", data | figures)


def trade(at_ms: int, sequence: int) -> Line:
    data = {
        "timestamp": START_MS + at_ms,
        "instrument_name": NAME,
        "trade_seq": sequence,
        "price": 100.5,
        "amount": 10.0,
        "direction": "buy",
    }
    return line(at_ms, f"trades.{NAME}.100ms", [data])


def windows(lines: list[Line], **options: Any) -> list[dict[str, Any]]:
    """Return what `compute` makes of lines, and assert that a replay leads to the same."""
    ours = list(compute(lines, RULES, **options))
    writer = FrameWriter("replay", "replay", books=options.get("books", ()))
    frames = [frame for each in lines for frame in writer.add(*each)] + writer.flush()
    states: dict[str, Processor] = {}
    theirs = []
    for frame in frames:
        state = states.setdefault(frame.instrument, Processor(frame.instrument, RULES))
        theirs += state.feed(frame).windows
    assert list(map(encode_window, ours)) == list(map(encode_window, theirs))
    return ours


FIRST = {"ticker": ticker(0, 76.0), "trade": trade(1, 4), "book": book(2, 1)}


@pytest.mark.parametrize("order", list(permutations(FIRST)))
def test_what_comes_before_the_first_book_counts(order: tuple[str, ...]) -> None:
    """Trade 5 is missing, whoever speaks first."""
    opening = [(START_NS + n, FIRST[kind][1]) for n, kind in enumerate(order)]
    first, *_ = windows([*opening, trade(400, 6), book(500, 2, 1), book(4_000, 3, 2)])
    assert (first["mark_price"], first["index_price"]) == (76.0, 76.0)
    assert (first["open_interest_usd"], first["funding_8h"]) == (76.0, 1e-5)
    assert (first["trade_gaps"], first["missed_trades"]) == (1, 1)


def test_windows_of_a_silence_close_in_it_and_not_with_what_ends_it() -> None:
    """A still book that is followed by a disconnect was known until then."""
    lines = [book(0, 1), book(100, 2, 1), (START_NS + 20 * 10**9, DISCONNECT)]
    found = windows([*lines, book(30_000, 9)])
    statuses = [window["status"] for window in found]
    assert statuses[:16] == ["complete"] * 16
    assert statuses[-1] == "reconnect"


def test_an_instrument_that_falls_silent_is_stale_though_no_tick_is_recorded() -> None:
    lively = [book(100 * n, n + 1, n or None) for n in range(100)]
    found = windows([*lively, book(40_000, 101, 100)])
    assert "stale" in {window["status"] for window in found}
    assert found[0]["status"] == found[5]["status"] == "complete"


def test_one_book_of_an_instrument_is_followed_and_the_others_are_said() -> None:
    lines = [ticker(0, 76.0)]
    for n in range(30):
        lines += [book(200 * n, n + 1, n or None), book(200 * n, n + 1, n or None, "raw")]
    tally = Tally()
    first = windows(lines, tally=tally)
    assert tally.passed_over == {f"book.{NAME}.raw": 30}
    other = windows(lines, books=[f"book.{NAME}.raw"])
    assert {window["channel"] for window in first} == {f"book.{NAME}.100ms"}
    assert {window["channel"] for window in other} == {f"book.{NAME}.raw"}
    same = [{**window, "channel": ""} for window in first]
    assert same == [{**window, "channel": ""} for window in other]
    assert first[0]["mark_price"] == 76.0


def test_what_is_no_json_and_what_is_refused_is_counted_once_with_its_place() -> None:
    bad = book(300, 3, 2)
    bad = bad[0], bad[1].replace(b"100.0", b"0.0")
    tally = Tally()
    lines = [book(0, 1), book(100, 2, 1), (START_NS, b"{torn"), (START_NS, b"{}"), bad]
    windows(lines, tally=tally)
    assert (tally.lines, tally.unreadable, tally.other) == (5, 1, 1)
    assert tally.counts["refused"] == 1
    ((place, reason),) = tally.refused
    assert place == "message 5"
    assert "price" in reason


def test_changes_before_a_snapshot_are_not_counted_as_changes() -> None:
    tally = Tally()
    lines = [book(0, 5, 4), book(100, 6, 5), book(200, 7), book(300, 8, 7)]
    windows(lines, tally=tally)
    assert (tally.counts["changes"], tally.counts["changes_without_snapshot"]) == (2, 2)


# The ticks themselves


def heard(ticks: DerivedTicks, at_ms: int, sent_ms: int | None) -> list[Tick]:
    received_ns = (START_MS + at_ms) * 1_000_000
    found = ticks.until(received_ns)
    if sent_ms is not None:
        ticks.hear(received_ns, b'{"data":{"timestamp":%d,' % (START_MS + sent_ms))
    return found


def test_ticks_are_a_second_apart_and_never_ahead_of_the_venue() -> None:
    ticks = DerivedTicks()
    assert heard(ticks, 0, -40) == []
    assert heard(ticks, 900, 880) == []
    found = heard(ticks, 3_100, None)
    assert [tick.venue_ms - START_MS for tick in found] == [980, 1_980, 2_980]
    assert {tick.quiet_ms for tick in found} == {0}


@pytest.mark.parametrize("sent_ms", [10**12, MAX_DELAY_MS, 700_000])
def test_a_stamp_that_cannot_be_is_no_clock(sent_ms: int) -> None:
    ticks = DerivedTicks()
    heard(ticks, 0, -40)
    heard(ticks, 1_100, sent_ms)
    assert [tick.venue_ms - START_MS for tick in heard(ticks, 2_000, None)] == [1_960]


def test_receive_times_that_have_nothing_to_do_with_the_venue_give_no_ticks() -> None:
    ticks = DerivedTicks()
    heard(ticks, 0, -MAX_DELAY_MS - 1)
    assert heard(ticks, 60_000, None) == []


def test_a_clock_that_is_set_back_goes_on() -> None:
    ticks = DerivedTicks()
    heard(ticks, 60_000, 60_000)
    assert heard(ticks, 0, 0) == []
    assert len(heard(ticks, 2_000, None)) == 2


def test_a_recording_that_stood_still_for_hours_was_not_connected() -> None:
    """Whatever comes after years does not make others live through them."""
    other = "ETH-PERPETUAL"
    year_ms = 365 * 24 * 3_600_000
    late = book(year_ms, 1)
    late = late[0], late[1].replace(NAME.encode(), other.encode())
    lines = [book(0, 1), book(500, 2, 1), late, ticker(year_ms + 60_000, 5.0)]
    assert len(windows(lines)) < 100
    back = windows([*lines[:2], book(2 * 3_600_000, 3, 2), book(2 * 3_600_000 + 2_000, 9)])
    assert back[-1]["status"] == "reconnect"
