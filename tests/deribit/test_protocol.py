"""A session's beginning, its signs of life, its errors and its end."""

from __future__ import annotations

import json

import pytest

from deribit.auth import Credentials
from deribit.events import (
    Connected,
    Failed,
    Fatal,
    GapFound,
    Instruments,
    Notification,
    Reconnect,
    Rejected,
    Subscribed,
    Tick,
    Unreadable,
)
from tests.deribit.script import BTC, ETH, VENUE_US, Venue, book, heartbeat, notification

KEY = Credentials("id", "canary-secret")


def test_it_greets_and_then_asks_for_heartbeats_before_anything_else() -> None:
    venue = Venue(BTC)
    assert [request["method"] for request in venue.asked] == ["public/hello"]
    events = venue.answer("hello", {"version": "1.2.26"})
    assert events == [Connected(simulated=False)]
    assert [request["method"] for request in venue.asked] == [
        "public/set_heartbeat",
        "public/subscribe",
    ]
    assert venue.requests("set_heartbeat")[0]["params"] == {"interval": 10}
    assert venue.channels_asked("subscribe") == [BTC]


def test_a_simulated_venue_is_told_by_its_version() -> None:
    assert Venue().answer("hello", {"version": "1.2.26-simulated"}) == [Connected(simulated=True)]


def test_bug_class_8_nothing_is_subscribed_before_the_answer_to_auth() -> None:
    venue = Venue(BTC, credentials=KEY)
    venue.answer("hello", {"version": "1.2.26"})
    venue.tick(1.0)
    assert [request["method"] for request in venue.asked] == ["public/auth"]
    events = venue.answer("auth", {"expires_in": 900})
    assert events == [Connected(simulated=False)]
    (request,) = venue.requests("subscribe")
    assert request["method"] == "private/subscribe"


def test_wrong_credentials_end_it_for_good_and_the_secret_is_not_said() -> None:
    venue = Venue(BTC, credentials=KEY)
    venue.answer("hello", {"version": "1.2.26"})
    failed, fatal = venue.fail("auth", 13004, "invalid_credentials")
    assert failed == Failed("public/auth", 13004, "invalid_credentials")
    assert isinstance(fatal, Fatal)
    assert "canary-secret" not in repr((failed, fatal, KEY))
    assert venue.says(book(BTC, 1)) == []
    assert venue.tick(100.0) == []


def test_a_test_request_is_answered_at_once_and_a_heartbeat_is_not() -> None:
    venue = Venue(BTC).ready()
    venue.says(heartbeat("heartbeat"))
    assert venue.asked == []
    venue.says(heartbeat("test_request"))
    assert [request["method"] for request in venue.asked] == ["public/test"]


def test_a_probe_each_second_gives_the_venue_clock_in_order() -> None:
    venue = Venue(BTC).ready()
    ticks = []
    for _ in range(5):
        venue.tick(1.0)
        (probe,) = venue.requests("test")
        ticks += venue.answer_one(probe)
    assert [tick.venue_ms for tick in ticks] == [
        VENUE_US // 1000 + 1_000_000 + 1000 * n for n in range(1, 6)
    ]
    assert {tick.quiet_ms for tick in ticks} == {0}


def test_the_venue_clock_never_goes_back() -> None:
    venue = Venue(BTC).ready()
    venue.tick(1.0)
    (first,) = venue.answer_one(venue.requests("test")[0])
    venue.tick(1.0)
    request = venue.requests("test")[0]
    reply = {"id": request["id"], "result": {"version": "1"}, "usOut": 1_000_000}
    (second,) = venue.says(json.dumps(reply).encode())
    assert isinstance(first, Tick)
    assert second == Tick(first.venue_ms, 0)


def test_answers_without_a_clock_do_not_make_it_probe_in_a_hot_loop() -> None:
    venue = Venue(BTC).ready()
    before = len(venue.sent)
    for _ in range(100):
        venue.tick(0.1)
        for request in list(venue.asked):
            venue.asked.remove(request)
            venue.says(json.dumps({"id": request["id"], "result": {"version": "1"}}).encode())
    assert 9 <= len(venue.sent) - before <= 11


def test_a_silent_socket_says_how_quiet_it_is_and_the_clock_stands() -> None:
    venue = Venue(BTC).ready()
    venue.tick(1.0)
    (read,) = venue.answer_one(venue.requests("test")[0])
    ticks = [event for event in venue.tick(6.2) if isinstance(event, Tick)]
    assert [tick.quiet_ms for tick in ticks] == list(range(1500, 6001, 500))
    assert {tick.venue_ms for tick in ticks} == {read.venue_ms}


def test_bug_class_11_an_unanswered_probe_ends_the_session_while_data_still_flow() -> None:
    venue = Venue(BTC).ready()
    venue.says(book(BTC, 1))
    for change_id in range(2, 30):
        venue.says(book(BTC, change_id, change_id - 1))
        venue.tick(0.5)
    (end,) = [event for event in venue.events if isinstance(event, Reconnect)]
    assert end.reason == "unanswered"
    assert "public/test" in end.detail


def test_bug_class_11_a_still_book_is_no_reason_to_reconnect() -> None:
    venue = Venue(BTC).ready()
    venue.says(book(BTC, 1))
    for _ in range(120):
        venue.tick(1.0)
        for request in list(venue.asked):
            venue.answer_one(request)
    assert not venue.session.is_over
    assert {type(event) for event in venue.events} == {Notification, Tick}


def test_bug_class_19_nothing_waits_any_more_after_the_end() -> None:
    venue = Venue(BTC)
    (end,) = venue.tick(10.0)
    assert end == Reconnect("unanswered", "public/hello was not answered in 10 s")
    assert venue.session.is_over
    assert venue.session.due == float("inf")
    assert venue.answer("hello", {"version": "1"}) == []


@pytest.mark.parametrize(
    ("code", "reason", "least_s"),
    [
        (10028, "too_many_requests", 5.0),
        (11051, "system_maintenance", 30.0),
        (13009, "unauthorized", 0.0),
    ],
)
def test_errors_that_end_a_session(code: int, reason: str, least_s: float) -> None:
    venue = Venue(BTC)
    venue.answer("hello", {"version": "1.2.26"})
    failed, end = venue.fail("subscribe", code)
    assert failed == Failed("public/subscribe", code, "no")
    assert isinstance(end, Reconnect)
    assert (end.reason, end.least_wait_s) == (reason, least_s)


def test_bug_class_7_an_error_without_an_id_is_said_and_acted_on() -> None:
    venue = Venue(BTC).ready()
    bad = b'{"jsonrpc":"2.0","error":{"code":11050,"data":"invalid json","message":"bad_request"}}'
    assert venue.says(bad) == [Failed("", 11050, "bad_request")]
    assert not venue.session.is_over
    crowded = b'{"jsonrpc":"2.0","error":{"code":10028,"message":"too_many_requests"}}'
    assert isinstance(venue.says(crowded)[-1], Reconnect)


def test_a_transient_error_is_asked_again_after_a_wait() -> None:
    venue = Venue(BTC)
    venue.answer("hello", {"version": "1.2.26"})
    assert venue.fail("subscribe", 10040) == [Failed("public/subscribe", 10040, "no")]
    assert venue.requests("subscribe") == []
    venue.tick(0.2)
    assert venue.channels_asked("subscribe") == [BTC]


def test_a_call_that_the_venue_refuses_for_good_is_rejected_not_repeated() -> None:
    venue = Venue(BTC)
    venue.answer("hello", {"version": "1.2.26"})
    _, rejected = venue.fail("subscribe", -32602, "Invalid params")
    assert isinstance(rejected, Rejected)
    assert rejected.channels == (BTC,)
    assert "-32602" in rejected.reason
    venue.tick(5.0)
    assert venue.requests("subscribe") == []


def test_11052_marks_the_book_and_subscribes_again() -> None:
    venue = Venue(BTC, ETH).ready()
    venue.says(book(BTC, 5), book(ETH, 6))
    error = {"error": {"code": 11052, "message": "unsubscribed", "data": {"channel": BTC}}}
    events = venue.says(json.dumps(error).encode())
    assert events[1:] == [GapFound(BTC, "BTC-PERPETUAL", 5, None)]
    venue.tick(0.3)
    assert venue.channels_asked("subscribe") == [BTC]
    assert isinstance(venue.says(book(ETH, 7, 6))[0], Notification)


def test_perpetuals_are_told_by_settlement_period_not_by_name() -> None:
    venue = Venue()
    venue.answer("hello", {"version": "1.2.26"})
    venue.tick(0.0)
    listing = [
        {"instrument_name": "BTC-PERPETUAL", "settlement_period": "perpetual", "is_active": True},
        {"instrument_name": "X-PERPETUAL", "settlement_period": "month", "is_active": True},
        {"instrument_name": "ODD_NAME", "settlement_period": "perpetual", "state": "open"},
        {"instrument_name": "OLD-PERPETUAL", "settlement_period": "perpetual", "is_active": False},
        {"instrument_name": "SHUT-PERPETUAL", "settlement_period": "perpetual", "state": "closed"},
        {"instrument_name": 7, "settlement_period": "perpetual"},
        {"instrument_name": "a.b", "settlement_period": "perpetual"},
    ]
    *refused, found = venue.answer("get_instruments", listing)
    assert [type(event) for event in refused] == [Unreadable, Unreadable]
    assert isinstance(found, Instruments)
    perpetual = {one.instrument_name: one.is_perpetual for one in found.instruments}
    assert perpetual == {"BTC-PERPETUAL": True, "X-PERPETUAL": False, "ODD_NAME": True}


def test_instruments_are_asked_for_again_every_ten_minutes() -> None:
    venue = Venue().ready()
    for _ in range(599):
        venue.tick(1.0)
        for request in list(venue.asked):
            assert request["method"] == "public/test"
            venue.answer_one(request)
    venue.tick(2.0)
    assert len(venue.requests("get_instruments")) == 1


def test_an_unreadable_answer_ends_the_session_where_it_is_indispensable() -> None:
    venue = Venue(BTC)
    unreadable, end = venue.answer("hello", 7)
    assert isinstance(unreadable, Unreadable)
    assert isinstance(end, Reconnect)
    assert end.reason == "unreadable_answer"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"hello",
        b"[]",
        b"null",
        b'{"method":"subscription"}',
        b'{"method":"subscription","params":{"channel":"nobody.knows","data":{}}}',
        b'{"method":"dance"}',
        b'{"id":999,"result":"ok"}',
        b'{"params":{"data":NaN}}',
        b"\xff\xfe",
        b'{"a":' * 100_000,
        b"{}" * 2,
        notification(BTC, {"change_id": 2**64, "instrument_name": "BTC-PERPETUAL"}),
        notification(BTC, {"change_id": -1, "instrument_name": "BTC-PERPETUAL"}),
        notification(BTC, {"change_id": 1.5, "instrument_name": "BTC-PERPETUAL"}),
        notification(BTC, {"type": "change", "instrument_name": "BTC-PERPETUAL"}),
        notification(BTC, [{"instrument_name": "BTC-PERPETUAL"}]),
        book(BTC, 9, None, {"instrument_name": "ETH-PERPETUAL"}),
        notification("trades.BTC-PERPETUAL.100ms", [{"instrument_name": "ETH-PERPETUAL"}]),
        book(BTC, 9, None, {"padding": "x" * 800_000}),
    ],
    ids=lambda message: repr(message[:40]),
)
def test_what_is_not_understood_is_refused_and_the_session_goes_on(message: bytes) -> None:
    venue = Venue(BTC, "trades.BTC-PERPETUAL.100ms").ready()
    venue.says(book(BTC, 5))
    (event,) = venue.says(message)
    assert isinstance(event, Unreadable)
    assert event.raw == message
    assert event.reason
    assert isinstance(venue.says(book(BTC, 6, 5))[0], Notification)


def test_data_that_come_before_the_acknowledgement_are_not_lost() -> None:
    venue = Venue(BTC)
    venue.answer("hello", {"version": "1.2.26"})
    assert isinstance(venue.says(book(BTC, 5))[0], Notification)
    assert venue.answer("subscribe", [BTC])[-1:] == [Subscribed((BTC,))]
    venue.tick(0.5)
    assert venue.requests("unsubscribe") == []
