"""How long messages are collected follows what comes, and what is behind."""

from __future__ import annotations

import pytest

from app.pace import MOST_LINGER_BEHIND_S, MOST_LINGER_S, Pace

LEAST_S = 0.004


def paced(
    rate: int, *, seconds: int = 10, delay_ms: float = 0.0, least_s: float = LEAST_S
) -> float:
    """Return the linger after ten seconds of a rate, asked a hundred times a second."""
    pace, linger_s = Pace(least_s), 0.0
    for turn in range(1_001):
        linger_s = pace.linger_s(rate * turn // 100, 1_000 + turn / 100, delay_ms)
    return linger_s


def test_a_calm_feed_is_not_delayed() -> None:
    assert paced(100) == LEAST_S
    assert paced(600) == LEAST_S


def test_the_more_come_the_longer_they_are_collected() -> None:
    assert paced(1_800) == pytest.approx(0.0108, rel=0.01)
    assert paced(3_550) == pytest.approx(0.0213, rel=0.01)
    assert paced(100_000) == MOST_LINGER_S


def test_it_is_calm_again_soon_after_a_burst() -> None:
    pace = Pace(LEAST_S)
    pace.linger_s(0, 0.0, 0.0)
    assert pace.linger_s(5_000, 1.0, 0.0) == MOST_LINGER_S
    assert pace.linger_s(5_100, 2.0, 0.0) == LEAST_S


def test_the_first_question_has_no_rate() -> None:
    assert Pace(LEAST_S).linger_s(1_000_000, 5.0, 0.0) == LEAST_S


def test_two_questions_at_once_are_no_rate_either() -> None:
    pace = Pace(LEAST_S)
    pace.linger_s(0, 5.0, 0.0)
    assert pace.linger_s(10, 5.0, 0.0) == LEAST_S


def test_what_is_behind_is_collected_longer() -> None:
    assert paced(100, delay_ms=200) == LEAST_S
    assert paced(100, delay_ms=260) == pytest.approx(0.03)
    assert paced(100, delay_ms=60_000) == MOST_LINGER_BEHIND_S


def test_what_was_set_is_the_least() -> None:
    assert paced(3_550, least_s=0.25, delay_ms=60_000) == 0.25
    assert paced(3_550, least_s=0.0, delay_ms=60_000) == 0.0, "nothing is waited for"
