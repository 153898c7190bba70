"""Waits and rates: full jitter under a cap, forgotten only after a healthy time; paced calls."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deribit.backoff import Attempts, Backoff, TokenBucket


class Highest(random.Random):
    """Draws the upper end, so that the ceiling itself is seen."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_waits_double_from_1_s_and_stop_at_60_s() -> None:
    attempts = Attempts(Backoff(), Highest())
    assert [attempts.failed(0.0) for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@settings(derandomize=True, deadline=None)
@given(failures=st.integers(0, 10_000), seed=st.integers())
def test_every_wait_is_between_floor_and_cap(failures: int, seed: int) -> None:
    wait_s = Backoff().wait_s(failures, random.Random(seed))
    assert Backoff().floor_s <= wait_s <= Backoff().cap_s


def test_waits_of_two_workers_differ() -> None:
    waits = [Backoff().wait_s(5, random.Random(seed)) for seed in range(20)]
    assert len(set(waits)) == 20
    assert max(waits) > 2 * min(waits)


def test_bug_class_10_short_sessions_do_not_reset_the_count() -> None:
    attempts = Attempts(Backoff(), Highest())
    assert [attempts.failed(healthy_s=29.9) for _ in range(4)] == [1, 2, 4, 8]
    assert attempts.failed(healthy_s=30.0) == 1


def test_the_least_wait_comes_on_top() -> None:
    assert Attempts(Backoff(), Highest()).failed(0.0, least_s=5.0) == 6.0


@settings(derandomize=True, deadline=None)
@given(gaps=st.lists(st.floats(0, 2), max_size=60))
def test_a_bucket_never_gives_more_than_burst_and_rate(gaps: list[float]) -> None:
    bucket = TokenBucket(rate_per_s=3.0, burst=6)
    now, taken = 100.0, 0
    for gap in gaps:
        now += gap
        while bucket.take(now):
            taken += 1
        assert taken <= 6 + 3.0 * (now - 100.0) + 1e-6


def test_a_bucket_has_a_token_when_it_says() -> None:
    bucket = TokenBucket(rate_per_s=3.0, burst=1)
    assert bucket.take(1e6)
    assert not bucket.take(1e6)
    ready_at = bucket.ready_at(1e6)
    assert ready_at == pytest.approx(1e6 + 1 / 3)
    assert not bucket.take(ready_at - 0.01)
    assert bucket.take(ready_at)
