"""What a live record is made of: what has changed, now and then all, each naming the one before."""

from __future__ import annotations

from typing import Any

import pytest

from app.heard import WHOLE_LIVE_S, Due, Heard

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
        self.heard = Heard()
        self.now_s, self.now_ms = 100.0, NOW_MS
        self.known: list[Any] = [State("A", 7), State("B", 9)]

    def due(self, after_s: float = 0.0) -> Due | None:
        self.now_s += after_s
        self.now_ms += round(after_s * 1_000)
        return self.heard.due(self.known, now_s=self.now_s, now_ms=self.now_ms)

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
    clock.heard.hear(1)
    assert clock.names() == []
    clock.known[0].status = "stale"
    clock.heard.hear(2)
    assert clock.names() == ["A"]
    clock.heard.hear(3)
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
        clock.heard.hear(1)
        due = clock.due()
        assert due is not None
        assert due.after_ms == before
        assert due.published_ms > before
        before = due.published_ms


def test_what_was_heard_last_is_told_and_kept(clock: Clock) -> None:
    clock.heard.hear(20)
    clock.heard.hear(15)
    due = clock.due()
    assert due is not None
    assert (due.heard_ms, clock.heard.at_ms) == (20, 20)
    whole = clock.due(WHOLE_LIVE_S)
    assert whole is not None
    assert whole.heard_ms == 9  # without a word since, what its states were last told
    assert clock.heard.at_ms == 20
