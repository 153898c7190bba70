"""Commits come when no windows close: at the same moment of each second of the clock."""

from __future__ import annotations

from itertools import pairwise

import pytest

from faust_exact.consumer import COMMIT_AT_S, until_commit_s

SECOND = 1_700_000_000.0


@pytest.mark.parametrize("interval_s", [1.0, 2.0, 10.0])
@pytest.mark.parametrize("into_s", [0.0, 0.1, 0.3, 0.649, 0.651, 0.9, 0.999])
def test_whatever_the_moment_the_commit_has_its_own(interval_s: float, into_s: float) -> None:
    wait_s = until_commit_s(SECOND + into_s, interval_s)
    assert (SECOND + into_s + wait_s) % 1 == pytest.approx(COMMIT_AT_S, abs=1e-5)
    assert abs(wait_s - interval_s) <= 0.5 + 1e-5


@pytest.mark.parametrize("took_s", [0.0, 0.05, 0.3, 0.49])
def test_a_commit_a_second_is_one_in_each_second(took_s: float) -> None:
    now_s, commits = SECOND, []
    for _ in range(5):
        now_s += until_commit_s(now_s, 1.0)
        commits.append(now_s)
        now_s += took_s
    gaps = [later - earlier for earlier, later in pairwise(commits)]
    assert gaps == pytest.approx([1.0] * 4, abs=1e-5)


@pytest.mark.parametrize("interval_s", [0.05, 0.5, 0.999])
def test_a_shorter_interval_is_kept(interval_s: float) -> None:
    assert until_commit_s(SECOND + 0.3, interval_s) == interval_s
