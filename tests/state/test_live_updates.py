"""What a live record is made of: what has changed, now and then all, each naming the one before."""

from __future__ import annotations

from typing import Any

import pytest

from app.state.live_updates import WHOLE_LIVE_S, Due, LiveUpdates

NOW_MS = 1_700_000_000_000


class State:
    """What is asked of a processor."""

    def __init__(self, name: str, received_ms: int = 0) -> None:
        self.name = name
        self.status = "live"
        self.received_ns = received_ms * 1_000_000


class Clock:
    """Asks what is due, at a time that the test sets."""

    def __init__(self) -> None:
        self.heard = LiveUpdates()
        self.now_s, self.now_ms = 100.0, NOW_MS
        self.known: list[Any] = [State("A", 7), State("B", 9)]

    def due(self, after_s: float = 0.0) -> Due | None:
        self.now_s += after_s
        self.now_ms += round(after_s * 1_000)
        return self.heard.due(self.known, now_s=self.now_s, now_ms=self.now_ms)

    def hear(self, ago_ms: int = 0) -> None:
        self.heard.hear(self.now_ms - ago_ms, now_s=self.now_s, now_ms=self.now_ms)

    def names(self, after_s: float = 0.0) -> list[str] | None:
        due = self.due(after_s)
        return None if due is None else [state.name for state in due.states]


@pytest.fixture
def clock() -> Clock:
    """A partition of which the first record is written."""
    made = Clock()
    first = made.due()
    assert first is not None
    assert (first.whole, [state.name for state in first.states]) == (True, ["A", "B"])
    return made


def test_nothing_is_due_where_nothing_was_heard(clock: Clock) -> None:
    assert clock.due(WHOLE_LIVE_S / 2) is None


def test_what_has_changed_is_named_once(clock: Clock) -> None:
    clock.heard.change("B")
    due = clock.due(0.25)
    assert due is not None
    assert ([state.name for state in due.states], due.changed, due.whole) == (["B"], {"B"}, False)
    assert clock.due(0.25) is None


def test_a_tick_is_due_and_names_whose_status_it_has_changed(clock: Clock) -> None:
    clock.hear()
    assert clock.names() == []
    clock.known[0].status = "stale"
    clock.hear()
    assert clock.names() == ["A"]
    clock.hear()
    assert clock.names() == []


def test_all_are_named_now_and_then(clock: Clock) -> None:
    assert clock.names(WHOLE_LIVE_S) == ["A", "B"]
    assert clock.names(WHOLE_LIVE_S / 2) is None
    del clock.known[0]
    assert clock.names(WHOLE_LIVE_S / 2) == ["B"]


def test_each_names_the_one_before_whatever_the_clock_does(clock: Clock) -> None:
    before = NOW_MS
    for step_ms in (250, 0, -5_000):
        clock.now_ms += step_ms
        clock.hear()
        due = clock.due()
        assert due is not None
        assert due.after_ms == before
        assert due.published_ms != before, "it is the record's name"
        before = due.published_ms


def test_what_was_heard_last_is_told_and_kept(clock: Clock) -> None:
    clock.hear(ago_ms=20)
    clock.hear(ago_ms=45)
    due = clock.due(0.1)
    assert due is not None
    assert due.published_ms - due.heard_ms == 120
    whole = clock.due(WHOLE_LIVE_S)
    assert whole is not None
    assert whole.published_ms - whole.heard_ms == 2_120, "without a word since, time goes on"


@pytest.mark.parametrize("step_ms", [-3_600_000, 3_600_000])
def test_a_clock_that_is_set_changes_no_age(clock: Clock, step_ms: int) -> None:
    clock.hear()
    clock.now_ms += step_ms
    due = clock.due(1.5)
    assert due is not None
    assert due.published_ms - due.heard_ms == 1_500


def test_what_a_clock_that_was_ahead_said_is_old_in_time() -> None:
    """A worker whose clock was an hour ahead is gone; what it received is not heard for an hour."""
    clock = Clock()
    clock.known = [State("A", NOW_MS + 3_600_000)]
    assert clock.due() is not None
    later = clock.due(60)
    assert later is not None
    assert later.published_ms - later.heard_ms == 60_000
    clock.hear(ago_ms=-3_600_000)
    assert clock.heard.age_ms(clock.now_s + 5) == 5_000
