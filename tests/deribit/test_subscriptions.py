"""Subscribing, gaps and resyncs of a session, against a venue that keeps its limits."""

from __future__ import annotations

import itertools
import json
import random

import pytest

from deribit.auth import Credentials
from deribit.events import FellBack, GapFound, Notification, Rejected, Subscribed, Unreadable
from deribit.subscriptions import MAX_CALL_BYTES, MAX_CHANNELS_PER_CALL
from tests.deribit.script import BTC, ETH, Venue, book, notification

MANY = [f"book.T{number:03}_USDC-PERPETUAL.100ms" for number in range(131)]


def resynced(venue: Venue) -> list[str]:
    """Answer what a resync asks, and return the channels that were subscribed again."""
    for request in venue.requests("unsubscribe"):
        venue.answer_one(request)
    channels = venue.channels_asked("subscribe")
    for request in venue.requests("subscribe"):
        venue.answer_one(request)
    return channels


def test_bug_class_6_the_answer_is_compared_with_the_request() -> None:
    unknown = "book.NOBODY-PERPETUAL.100ms"
    venue = Venue(BTC, unknown, ETH)
    venue.answer("hello", {"version": "1.2.26"})
    subscribed, rejected = venue.answer("subscribe", [ETH, BTC])
    assert subscribed == Subscribed((BTC, ETH))
    assert isinstance(rejected, Rejected)
    assert rejected.channels == (unknown,)
    venue.tick(5.0)
    assert venue.requests("subscribe") == []
    venue.session.want([BTC, unknown], venue.now)
    venue.tick(1.0)
    assert venue.requests("subscribe") == []


def test_bug_class_20_many_channels_go_out_in_calls_that_the_venue_takes() -> None:
    wanted = [f"book.{'X' * 50}{number}-PERPETUAL.100ms" for number in range(2_000)]
    venue = Venue(*wanted)
    venue.answer("hello", {"version": "1.2.26"})
    for _ in range(20):
        venue.tick(1.0)
        for request in venue.requests("test"):
            venue.answer_one(request)
    calls = [json.loads(message) for message in venue.sent if b"public/subscribe" in message]
    assert max(len(message) for message in venue.sent) <= MAX_CALL_BYTES
    assert max(len(call["params"]["channels"]) for call in calls) <= MAX_CHANNELS_PER_CALL
    assert [name for call in calls for name in call["params"]["channels"]] == wanted
    assert len(calls) > 4


def test_a_change_of_mind_sends_the_difference_only() -> None:
    venue = Venue(BTC, ETH).ready()
    sol = "book.SOL_USDC-PERPETUAL.100ms"
    venue.session.want([ETH, sol], venue.now)
    venue.tick(0.0)
    assert venue.channels_asked("unsubscribe") == [BTC]
    assert venue.channels_asked("subscribe") == [sol]


def test_what_is_no_channel_is_refused_before_anything_changes() -> None:
    venue = Venue(BTC).ready()
    with pytest.raises(ValueError, match=r"'book\.\.100ms' is no channel"):
        venue.session.want([ETH, "book..100ms"], venue.now)
    venue.says(book(BTC, 5))
    assert isinstance(venue.events[-1], Notification)


def test_notifications_that_nobody_wants_are_dropped_and_counted() -> None:
    venue = Venue(BTC).ready()
    assert venue.says(book(ETH, 5)) == []
    venue.session.want([], venue.now)
    assert venue.says(book(BTC, 5)) == []
    assert venue.session.dropped.unwanted == 2


def test_a_book_wanted_again_gets_a_new_snapshot() -> None:
    venue = Venue(BTC).ready()
    venue.says(book(BTC, 5))
    venue.session.want([], venue.now)
    venue.session.want([BTC], venue.now)
    assert venue.says(book(BTC, 6, 5)) == []
    venue.tick(0.0)
    assert resynced(venue) == [BTC]
    assert isinstance(venue.says(book(BTC, 9))[0], Notification)
    venue.tick(0.0)
    assert venue.requests("unsubscribe") == []


def test_bug_class_2_and_3_a_gap_resyncs_its_own_book_only() -> None:
    venue = Venue(BTC, ETH).ready()
    venue.says(book(BTC, 5), book(ETH, 105))
    assert venue.says(book(BTC, 8, 7)) == [GapFound(BTC, "BTC-PERPETUAL", 5, 7)]
    assert venue.says(book(BTC, 9, 8)) == []
    assert isinstance(venue.says(book(ETH, 106, 105))[0], Notification)
    assert venue.session.dropped.awaiting_snapshot == 1
    venue.tick(0.2)
    assert venue.channels_asked("unsubscribe") == [BTC]
    assert venue.requests("subscribe") == []


def test_bug_class_5_resync_waits_for_the_unsubscribe_then_subscribes() -> None:
    venue = Venue(BTC).ready()
    venue.says(book(BTC, 5), book(BTC, 8, 7))
    venue.tick(1.0)
    assert venue.requests("subscribe") == []
    assert venue.says(book(BTC, 9)) == []  # even a snapshot: what follows it will be cut off
    venue.answer("unsubscribe", [BTC])
    assert venue.channels_asked("subscribe") == [BTC]
    assert venue.says(book(BTC, 9, 8)) == []  # late, of before the unsubscribe
    venue.answer("subscribe", [BTC])
    assert isinstance(venue.says(book(BTC, 20))[0], Notification)
    assert isinstance(venue.says(book(BTC, 21, 20))[0], Notification)


def test_bug_class_4_a_storm_of_gaps_is_one_pair_of_calls() -> None:
    venue = Venue(*MANY).ready()
    for number, channel in enumerate(MANY):
        venue.says(book(channel, 5), book(channel, 8, 7))
        if number == 60:
            venue.tick(0.1)
    venue.tick(0.2)
    assert len(venue.requests("unsubscribe")) == 1
    assert sorted(resynced(venue)) == MANY


def test_bug_class_4_calls_stay_under_the_venues_rate_whatever_gaps_come() -> None:
    rng = random.Random(11)
    venue = Venue(*MANY).ready()
    last = dict.fromkeys(MANY, 5)
    for channel in MANY:
        venue.says(book(channel, 5))
    started, before = venue.now, len(venue.sent)
    for _ in range(200):
        venue.tick(0.1)
        channel = rng.choice(MANY)
        venue.says(book(channel, last[channel] + 5, last[channel] + 3))
        for request in list(venue.asked):
            venue.answer_one(request)
            for name in request["params"].get("channels", []):
                if request["method"].endswith("/subscribe"):
                    last[name] += 100
                    venue.says(book(name, last[name]))
    calls = [message for message in venue.sent[before:] if b"subscribe" in message]
    assert len(calls) <= 6 + 3 * (venue.now - started)
    assert len(calls) > 20


def test_a_snapshot_that_does_not_come_is_asked_for_again_ever_later() -> None:
    venue = Venue(BTC).ready()
    at = []
    for _ in range(2_000):
        venue.tick(0.1)
        for request in list(venue.asked):
            if request["method"].endswith("/unsubscribe"):
                at.append(venue.now)
            venue.answer_one(request)
    waits = [after - before for before, after in itertools.pairwise(at)]
    assert len(at) >= 3
    assert min(waits) >= 10.0
    assert 10.0 + 5.0 < max(waits) <= 10.0 + 60.0 + 1.0
    assert len(at) <= 200 / 10


def test_bug_class_16_two_intervals_of_one_instrument_are_two_chains() -> None:
    slow = "book.BTC-PERPETUAL.agg2"
    venue = Venue(BTC, slow).ready()
    venue.says(book(BTC, 10), book(slow, 7))
    events = venue.says(book(BTC, 11, 10), book(slow, 30, 7), book(BTC, 12, 11))
    assert [type(event) for event in events] == [Notification] * 3


def test_a_duplicate_is_handed_on_and_marked() -> None:
    venue = Venue(BTC).ready()
    venue.says(book(BTC, 5), book(BTC, 6, 5))
    (event,) = venue.says(book(BTC, 6, 5))
    assert isinstance(event, Notification)
    assert event.is_duplicate
    assert isinstance(venue.says(book(BTC, 7, 6))[0], Notification)


def test_13778_falls_back_to_100ms_and_says_so() -> None:
    raw, trades = "book.BTC-PERPETUAL.raw", "trades.BTC-PERPETUAL.raw"
    venue = Venue(raw, trades, ETH)
    venue.answer("hello", {"version": "1.2.26"})
    *_, fell = venue.fail("subscribe", 13778)
    assert fell == FellBack(((raw, BTC), (trades, "trades.BTC-PERPETUAL.100ms")))
    venue.tick(0.1)
    assert sorted(venue.channels_asked("subscribe")) == [BTC, ETH, "trades.BTC-PERPETUAL.100ms"]
    venue.answer("subscribe", [BTC, ETH, "trades.BTC-PERPETUAL.100ms"])
    venue.says(book(BTC, 5))
    venue.session.want([raw, trades, ETH], venue.now)  # the owner still speaks of raw
    venue.tick(1.0)
    assert venue.requests("subscribe") == venue.requests("unsubscribe") == []
    assert venue.session.resync(raw, venue.now) == [GapFound(BTC, "BTC-PERPETUAL", 5, None)]


def test_raw_is_subscribed_privately_with_credentials() -> None:
    venue = Venue("book.BTC-PERPETUAL.raw", credentials=Credentials("id", "secret"))
    venue.answer("hello", {"version": "1.2.26"})
    venue.answer("auth", {"expires_in": 900})
    assert venue.requests("subscribe")[0]["method"] == "private/subscribe"


def test_a_resync_on_request_is_made_once() -> None:
    venue = Venue(BTC).ready()
    assert venue.session.resync(BTC, venue.now) == []  # its first snapshot is on the way
    venue.says(book(BTC, 5))
    assert venue.session.resync(BTC, venue.now) == [GapFound(BTC, "BTC-PERPETUAL", 5, None)]
    assert venue.session.resync(BTC, venue.now) == []
    assert venue.session.resync("book.OTHER-PERPETUAL.100ms", venue.now) == []
    venue.tick(0.2)
    assert venue.channels_asked("unsubscribe") == [BTC]


def test_an_owner_who_is_behind_is_not_sent_snapshots() -> None:
    trades = "trades.BTC-PERPETUAL.100ms"
    venue = Venue(BTC, ETH, trades).ready()
    venue.says(book(BTC, 5), book(ETH, 5))
    assert venue.session.lost(BTC, venue.now) == [GapFound(BTC, "BTC-PERPETUAL", 5, None)]
    assert venue.session.lost(trades, venue.now) == [GapFound(trades, "BTC-PERPETUAL", None, None)]
    assert venue.session.lost(trades, venue.now) == []
    assert venue.says(book(BTC, 6, 5)) == []
    assert isinstance(venue.says(book(ETH, 6, 5))[0], Notification)
    venue.tick(5.0)
    assert venue.requests("unsubscribe") == []
    venue.session.relieved(venue.now)
    venue.tick(0.0)
    assert venue.channels_asked("unsubscribe") == [BTC]


def test_a_snapshot_that_is_lost_too_leaves_the_book_waiting() -> None:
    venue = Venue(BTC).ready()
    venue.says(book(BTC, 5))
    venue.session.lost(BTC, venue.now)
    venue.says(book(BTC, 50))  # unasked
    assert venue.session.lost(BTC, venue.now) == []
    venue.session.relieved(venue.now)
    assert venue.says(book(BTC, 51, 50)) == []
    venue.tick(0.3)
    assert venue.channels_asked("unsubscribe") == [BTC]


def test_a_malformed_change_shows_as_a_gap_at_the_next_one() -> None:
    venue = Venue(BTC).ready()
    venue.says(book(BTC, 5))
    (refused,) = venue.says(notification(BTC, {"change_id": "6", "prev_change_id": 5}))
    assert isinstance(refused, Unreadable)
    assert venue.says(book(BTC, 7, 6)) == [GapFound(BTC, "BTC-PERPETUAL", 5, 6)]
