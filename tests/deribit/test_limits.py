"""The venue's pools of credits are never overdrawn, whatever we want and however many we are."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deribit.events import Notification
from deribit.limits import INSTRUMENTS, NON_MATCHING, POOLS, SUBSCRIBE, Limits, Pool
from deribit.protocol import Session
from deribit.subscriptions import MAX_CALL_BYTES, MAX_CHANNELS_PER_CALL
from deribit.vocabulary import Method
from tests.deribit.script import BTC, Venue, book, heartbeat

VENUE_MAX_REQUEST_BYTES = 32 * 1024
VENUE_MAX_CHANNELS = 500


class VenuePool:
    """A pool as the venue keeps it."""

    def __init__(self, pool: Pool, now: float) -> None:
        self.pool, self.credits, self.at = pool, float(pool.size_credits), now

    def call(self, now: float) -> None:
        earned = (now - self.at) * self.pool.refill_credits_per_s
        self.credits = min(self.pool.size_credits, self.credits + earned) - self.pool.cost_credits
        self.at = now
        assert self.credits >= 0, "the venue would have ended the session"


@pytest.mark.parametrize(
    ("method", "rate_per_s", "burst"),
    [
        (Method.SUBSCRIBE, 3.0, 6),
        (Method.PRIVATE_UNSUBSCRIBE, 3.0, 6),
        (Method.GET_INSTRUMENTS, 0.9, 30),
        (Method.TEST, 18.0, 60),
        (Method.AUTH, 18.0, 60),
    ],
)
def test_our_share_of_each_pool(method: Method, rate_per_s: float, burst: int) -> None:
    limits = Limits()
    taken = 0
    while limits.take(method, 100.0):
        taken += 1
    assert taken == burst
    assert limits.ready_at(method, 100.0) == pytest.approx(100.0 + 1 / rate_per_s)


def test_pools_are_apart() -> None:
    limits = Limits()
    while limits.take(Method.SUBSCRIBE, 5.0):
        pass
    assert limits.take(Method.TEST, 5.0)
    assert limits.take(Method.GET_INSTRUMENTS, 5.0)
    assert not limits.take(Method.UNSUBSCRIBE, 5.0)
    assert set(POOLS.values()) == {SUBSCRIBE, INSTRUMENTS}


@settings(derandomize=True, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.floats(0, 3), st.sampled_from(list(Method)), st.integers(1, 200)), max_size=40
    )
)
def test_no_pool_of_the_venue_is_ever_overdrawn(steps: list[tuple[float, Method, int]]) -> None:
    limits, now = Limits(), 50.0
    pools = {pool: VenuePool(pool, now) for pool in (NON_MATCHING, INSTRUMENTS, SUBSCRIBE)}
    for wait, method, calls in steps:
        now += wait
        for _ in range(calls):
            if limits.take(method, now):
                pools[POOLS.get(method, NON_MATCHING)].call(now)


def test_what_cannot_wait_is_paid_for_later() -> None:
    limits = Limits()
    for _ in range(61):
        limits.spend(Method.TEST, 1.0)
    assert limits.ready_at(Method.TEST, 1.0) == pytest.approx(1.0 + 2 / 18)


def test_sessions_of_a_worker_share_the_limits_also_one_after_another() -> None:
    limits, now = Limits(), 10.0
    subscribed: list[float] = []
    for number in range(20):  # each is greeted, subscribes and is lost, ten times a second
        session = Session([BTC], rng=random.Random(number), limits=limits)
        session.opened(now)
        session.outgoing()
        session.received(b'{"id":1,"result":{"version":"1"}}', now)
        for _ in range(3):
            asked = [message for message in session.outgoing() if b"/subscribe" in message]
            subscribed += [now] * len(asked)
            now += 0.03
            if session.due <= now:
                session.tick(now)
    pool = VenuePool(SUBSCRIBE, 10.0)
    for at in subscribed:
        pool.call(at)
    assert 6 <= len(subscribed) < 20


def test_a_heartbeat_is_answered_though_the_pool_is_empty_and_other_requests_wait() -> None:
    venue = Venue(BTC).ready()
    for _ in range(100):
        venue.says(heartbeat("test_request"))
    assert len(venue.requests("test")) == 100
    for request in list(venue.asked):
        venue.answer_one(request)
    venue.tick(1.0)
    assert venue.requests("test") == []  # our own probe waits until the debt is paid
    venue.tick(2.0)
    assert len(venue.requests("test")) == 1


def test_a_request_that_waits_for_the_limit_is_not_taken_for_unanswered() -> None:
    limits = Limits()
    for _ in range(60 + 18 * 30):
        limits.spend(Method.HELLO, 0.0)
    session = Session([BTC], limits=limits)
    session.opened(0.0)
    assert session.outgoing() == []
    assert session.due == pytest.approx(30.0, abs=0.1)
    assert session.tick(29.0) == []
    session.tick(session.due)
    (hello,) = session.outgoing()
    assert json.loads(hello)["method"] == "public/hello"
    assert session.due == pytest.approx(40.0, abs=0.1)


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (MAX_CHANNELS_PER_CALL - 1, [MAX_CHANNELS_PER_CALL - 1]),
        (MAX_CHANNELS_PER_CALL, [MAX_CHANNELS_PER_CALL]),
        (MAX_CHANNELS_PER_CALL + 1, [MAX_CHANNELS_PER_CALL, 1]),
        (2 * MAX_CHANNELS_PER_CALL, [MAX_CHANNELS_PER_CALL, MAX_CHANNELS_PER_CALL]),
    ],
)
def test_bug_class_20_the_edge_of_channels_in_a_call(count: int, sizes: list[int]) -> None:
    venue = Venue(*(f"book.A{number}-PERPETUAL.100ms" for number in range(count)))
    venue.answer("hello", {"version": "1"})
    calls = venue.requests("subscribe")
    assert [len(call["params"]["channels"]) for call in calls] == sizes
    assert MAX_CHANNELS_PER_CALL < VENUE_MAX_CHANNELS


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=900),
    is_subscribe=st.booleans(),
)
def test_bug_class_20_no_call_is_larger_than_the_venue_takes(
    lengths: list[int], is_subscribe: bool
) -> None:
    names = [f"book.{'X' * length}{number}.100ms" for number, length in enumerate(lengths)]
    venue = Venue(*names)
    venue.answer("hello", {"version": "1"})
    for request in venue.requests("subscribe"):
        venue.answer_one(request)
    if not is_subscribe:
        venue.says(*(book(name, 5) for name in names))
        assert len([event for event in venue.events if isinstance(event, Notification)]) == len(
            names
        )
        venue.session.want([], venue.now)
        venue.tick(0.0)
    method = "subscribe" if is_subscribe else "unsubscribe"
    asked = [sent for sent in venue.sent if f'public/{method}"'.encode() in sent]
    assert sorted(name for call in asked for name in json.loads(call)["params"]["channels"]) == (
        sorted(names)
    )
    assert max(len(call) for call in asked) <= MAX_CALL_BYTES < VENUE_MAX_REQUEST_BYTES


def test_bug_class_20_the_edge_of_bytes_in_a_call() -> None:
    name = "book." + "X" * 56 + "{:05}.100ms"  # 72 bytes, 75 in a list
    fitting = 397  # 200 + 397 × 75 = 29,975
    for count, calls in ((fitting, 1), (fitting + 1, 2)):
        venue = Venue(*(name.format(number) for number in range(count)))
        venue.answer("hello", {"version": "1"})
        assert len(venue.requests("subscribe")) == calls
        assert max(len(sent) for sent in venue.sent) <= MAX_CALL_BYTES
