"""Each step of a subscription by itself: what is asked for, when, and what is left alone."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import pytest

from deribit.backoff import Backoff
from deribit.limits import Limits
from deribit.sequence_check import Step
from deribit.subscriptions import (
    MAX_CALL_BYTES,
    MAX_CHANNELS_PER_CALL,
    RESYNC_BATCH_S,
    SNAPSHOT_TIMEOUT_S,
    Call,
    Stage,
    Subscription,
    Subscriptions,
)
from deribit.vocabulary import Method

BOOK, OTHER = "book.SOL_USDC-PERPETUAL.100ms", "book.ETH-25DEC26.agg2"
TRADES, RAW = "trades.SOL_USDC-PERPETUAL.100ms", "book.BTC-PERPETUAL.raw"
HEALTHY_S = 30.0
JOIN, LEAVE = True, False
ROUNDING_S = 1e-6
"""Waits that are added up may miss the sum by a bit."""


class Longest(random.Random):
    """Draws the longest wait, so that a test can say when it ends."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Desk:
    """Subscriptions, the clock, and the calls that the venue has not answered."""

    def __init__(self, *channels: str) -> None:
        backoff = Backoff(first_s=4.0, cap_s=64.0, healthy_s=HEALTHY_S)
        self.all = Subscriptions(backoff, Longest(), Limits())
        self.now = 100.0
        self.calls: list[Call] = []
        self.want(*channels)

    def want(self, *channels: str) -> None:
        self.all.want(channels, self.now)

    def plan(self, after_s: float = 0.0) -> list[tuple[bool, tuple[str, ...]]]:
        self.now += after_s + ROUNDING_S * (after_s > 0)
        found = self.all.plan(self.now)
        self.calls += found
        return [(call.is_subscribe, call.channels) for call in found]

    def answer(self, left_out: Iterable[str] = ()) -> None:
        """Let the venue do all that it was asked for, but for what it leaves out."""
        calls, self.calls = self.calls, []
        for call in calls:
            listed = [name for name in call.channels if name not in left_out]
            self.all.confirmed(call, listed, self.now)

    def one(self, channel: str) -> Subscription:
        found = self.all.find(channel)
        assert found is not None
        return found

    def snapshot(self, channel: str, change_id: int = 7) -> None:
        subscription = self.one(channel)
        assert subscription.chain is not None
        assert subscription.chain.step("snapshot", change_id, None) is Step.SNAPSHOT
        self.all.synced(subscription, self.now)

    def restart(self, channel: str) -> None:
        self.all.restart(self.one(channel), self.now)

    def resync(self, channel: str, after_s: float) -> None:
        """Restart a book that is live, up to its next snapshot."""
        self.restart(channel)
        assert self.plan(after_s - 0.01) == []
        assert self.plan(0.01) == [(LEAVE, (channel,))]
        self.answer()
        assert self.plan() == [(JOIN, (channel,))]
        self.answer()
        self.snapshot(channel)


def live(*channels: str) -> Desk:
    """Return a desk whose channels flow, and whose books have had a snapshot."""
    desk = Desk(*channels)
    assert desk.plan() == [(JOIN, channels)]
    desk.answer()
    for channel in channels:
        if desk.one(channel).chain is not None:
            desk.snapshot(channel)
    assert desk.plan() == []
    assert desk.all.due == math.inf
    return desk


def test_nothing_is_due_while_the_venue_has_not_answered() -> None:
    desk = Desk(BOOK, TRADES)
    assert desk.all.due == desk.now
    desk.plan()
    assert desk.all.due == math.inf
    desk.answer()
    desk.want()
    assert desk.plan() == [(LEAVE, (BOOK, TRADES))]
    assert desk.all.due == math.inf
    assert desk.plan(60.0) == []


def test_what_is_given_up_is_forgotten_when_the_venue_has_said_so() -> None:
    desk = live(BOOK)
    desk.want()
    desk.plan()
    assert desk.one(BOOK).stage is Stage.UNSUBSCRIBING
    desk.answer()
    assert desk.plan() == []
    assert desk.all.find(BOOK) is None


def test_what_was_rejected_is_not_asked_for_until_it_was_given_up() -> None:
    desk = Desk(BOOK, TRADES)
    desk.plan()
    desk.answer(left_out=[BOOK])
    assert desk.one(BOOK).stage is Stage.REJECTED
    assert desk.plan(3_600.0) == []
    desk.want(TRADES)
    assert desk.plan() == []
    assert desk.all.find(BOOK) is None
    desk.want(BOOK, TRADES)
    assert desk.plan() == [(JOIN, (BOOK,))]


@pytest.mark.parametrize("channel", [BOOK, TRADES])
def test_what_is_wanted_again_at_once_is_subscribed_anew(channel: str) -> None:
    """Its owner has given up what it knew: only a new beginning is of use."""
    desk = live(channel)
    desk.want()
    chain = desk.one(channel).chain
    assert chain is None or chain.is_waiting
    desk.want(channel)
    assert desk.plan() == [(LEAVE, (channel,))]
    desk.answer()
    assert desk.plan() == [(JOIN, (channel,))]
    desk.answer()
    if chain is not None:
        desk.snapshot(channel)
    assert desk.plan(3_600.0) == []


def test_books_that_break_within_a_moment_are_restarted_together() -> None:
    desk = live(BOOK, OTHER)
    desk.restart(BOOK)
    desk.now += RESYNC_BATCH_S / 2
    desk.restart(OTHER)
    desk.restart(BOOK)  # again: it changes nothing
    assert desk.all.due == pytest.approx(desk.now + RESYNC_BATCH_S / 2)
    assert desk.plan(RESYNC_BATCH_S / 4) == []
    assert desk.plan(RESYNC_BATCH_S / 4) == [(LEAVE, (BOOK, OTHER))]


def test_a_later_break_makes_a_batch_of_its_own() -> None:
    desk = live(BOOK, OTHER)
    desk.restart(BOOK)
    desk.plan(RESYNC_BATCH_S)
    desk.now += 1.0
    desk.restart(OTHER)
    assert desk.plan(RESYNC_BATCH_S / 2) == []
    assert desk.plan(RESYNC_BATCH_S / 2) == [(LEAVE, (OTHER,))]


def test_restarts_that_do_not_help_are_ever_further_apart_until_the_book_was_healthy() -> None:
    desk = live(BOOK)
    for wait_s in (RESYNC_BATCH_S, 4.0, 8.0, 16.0):
        desk.resync(BOOK, wait_s)
    desk.now += HEALTHY_S - 1.0
    desk.resync(BOOK, 32.0)
    desk.now += HEALTHY_S
    desk.resync(BOOK, RESYNC_BATCH_S)
    desk.resync(BOOK, 4.0)


def test_a_snapshot_that_has_come_meanwhile_makes_a_restart_needless() -> None:
    desk = live(BOOK)
    desk.restart(BOOK)
    desk.snapshot(BOOK, 50)
    assert desk.plan(60.0) == []


def test_a_snapshot_that_does_not_come_is_missed_in_time() -> None:
    desk = Desk(BOOK)
    desk.plan()
    desk.answer()
    assert desk.plan(SNAPSHOT_TIMEOUT_S - 0.01) == []
    assert desk.all.due == pytest.approx(desk.now + 0.01)
    assert desk.plan(0.01) == []
    assert desk.plan(RESYNC_BATCH_S) == [(LEAVE, (BOOK,))]


def test_a_restart_that_was_asked_for_before_the_answer_keeps_its_time() -> None:
    desk = Desk(BOOK)
    desk.plan()
    desk.restart(BOOK)
    desk.answer()
    assert desk.plan(RESYNC_BATCH_S - 0.01) == []
    assert desk.plan(0.01) == [(LEAVE, (BOOK,))]


@pytest.mark.parametrize("stage", [Stage.IDLE, Stage.UNSUBSCRIBING, Stage.REJECTED])
def test_only_what_is_subscribed_can_be_restarted(stage: Stage) -> None:
    desk = live(BOOK)
    desk.one(BOOK).stage = stage
    desk.restart(BOOK)
    assert not desk.one(BOOK).must_restart
    chain = desk.one(BOOK).chain
    assert chain is not None
    assert chain.is_waiting


def test_a_call_that_has_to_be_made_again_is_not_made_at_once() -> None:
    desk = Desk(BOOK)
    desk.plan()
    desk.all.retry(desk.calls.pop(), desk.now)
    assert desk.plan(RESYNC_BATCH_S / 2) == []
    assert desk.plan(RESYNC_BATCH_S / 2) == [(JOIN, (BOOK,))]
    desk.answer()
    desk.snapshot(BOOK)
    desk.want()
    desk.plan()
    desk.all.retry(desk.calls.pop(), desk.now)
    assert desk.plan(1.0) == []
    assert desk.plan(4.0) == [(LEAVE, (BOOK,))]


def test_what_the_venue_dropped_by_itself_is_subscribed_again_and_not_restarted() -> None:
    desk = live(BOOK)
    desk.restart(BOOK)
    desk.all.unsubscribed(desk.one(BOOK), desk.now)
    chain = desk.one(BOOK).chain
    assert chain is not None
    assert chain.is_waiting
    assert desk.plan(10.0) == [(JOIN, (BOOK,))]
    desk.answer()
    desk.snapshot(BOOK)
    assert desk.plan(3_600.0) == []

    broken = live(OTHER)
    broken.all.unsubscribed(broken.one(OTHER), broken.now)
    chain = broken.one(OTHER).chain
    assert chain is not None
    assert chain.step("change", 8, 7) is Step.WAITING


def test_who_is_behind_is_asked_for_nothing_that_brings_a_snapshot() -> None:
    desk = live(BOOK, TRADES)
    desk.all.is_held = True
    desk.restart(BOOK)
    desk.want(BOOK, OTHER)
    assert desk.plan(60.0) == [(LEAVE, (TRADES,))]
    assert desk.all.due == math.inf
    desk.answer()
    assert desk.plan(60.0) == []
    desk.all.is_held = False
    assert desk.plan() == [(LEAVE, (BOOK,)), (JOIN, (OTHER,))]


def test_a_call_that_the_limits_hold_back_is_due_when_they_allow_it() -> None:
    desk = Desk(BOOK)
    while desk.all._limits.take(Method.SUBSCRIBE, desk.now):
        pass
    assert desk.plan() == []
    assert desk.now < desk.all.due < desk.now + 1.0
    assert desk.plan(desk.all.due - desk.now) == [(JOIN, (BOOK,))]


def test_raw_that_is_refused_is_followed_at_100ms_unless_it_was_given_up() -> None:
    given_up = "book.ETH-PERPETUAL.raw"
    desk = Desk(RAW, given_up, TRADES)
    desk.plan()
    desk.want(RAW, TRADES)
    (call,) = desk.calls
    desk.calls.clear()
    follows = RAW.replace("raw", "100ms")
    assert desk.all.fall_back(call, desk.now) == [(RAW, follows)]
    assert [desk.all.find(name) for name in (RAW, given_up)] == [None, None]
    assert desk.all.find(given_up.replace("raw", "100ms")) is None
    assert desk.plan() == [(JOIN, (TRADES, follows))]
    desk.answer()
    desk.want(RAW, TRADES, given_up)
    assert desk.plan() == [(JOIN, (given_up.replace("raw", "100ms"),))]
    assert desk.all.served_as(RAW) == follows


def test_a_call_names_as_many_channels_as_the_venue_takes_and_no_more() -> None:
    short = [f"book.T{number:04}-PERPETUAL.raw" for number in range(2 * MAX_CHANNELS_PER_CALL + 1)]
    desk = Desk(*short)
    sizes = [len(channels) for _, channels in desk.plan()]
    assert sizes == [MAX_CHANNELS_PER_CALL, MAX_CHANNELS_PER_CALL, 1]


def test_a_call_is_as_long_as_the_venue_takes_and_no_longer() -> None:
    long = [f"book.{'X' * 400}{number:04}.raw" for number in range(150)]
    sizes = [sum(len(name) + 3 for name in names) for _, names in Desk(*long).plan()]
    assert len(sizes) == 3
    assert all(size <= MAX_CALL_BYTES for size in sizes)
    assert min(sizes[:2]) > MAX_CALL_BYTES - 1_000
