"""How long messages are collected follows how far the worker is behind."""

from __future__ import annotations

import pytest

from app.ingest.linger import MOST_LINGER_S, linger_s

LEAST_S = 0.002


@pytest.mark.parametrize("delay_ms", [0.0, 5.0, 200.0, 204.0])
def test_a_worker_that_keeps_up_does_not_wait_longer_than_was_set(delay_ms: float) -> None:
    assert linger_s(LEAST_S, delay_ms) == LEAST_S


def test_what_is_behind_is_collected_longer() -> None:
    assert linger_s(LEAST_S, 260) == pytest.approx(0.03)
    assert linger_s(LEAST_S, 399) == pytest.approx(0.0995)
    assert linger_s(LEAST_S, 60_000) == MOST_LINGER_S


def test_what_was_set_is_the_least() -> None:
    assert linger_s(0.25, 60_000) == 0.25
    assert linger_s(0.0, 60_000) == 0.0, "nothing is waited for"
