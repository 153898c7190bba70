"""The figures of a load run: what is demanded is judged, and docs/load.md is made of them."""

from __future__ import annotations

import copy
from math import inf
from typing import Any

import pytest

from tests.api.push.load import judged
from tests.api.push.render import page
from tests.api.push.scrape import Scrape, quantile_s, rate

WORKER = {
    "cpu_share": 0.2,
    "messages_per_s": 200.0,
    "windows_per_s": 16.0,
    "applied_p99_ms": 10.0,
    "loop_lag_p99_ms": 5.0,
}
GOOD: dict[str, Any] = {
    "at": "2026-01-01T00:00:00Z",
    "machine": "2 cores",
    "python": "3.11",
    "aiohttp": "3",
    "commit": "abc",
    "load_before": 0.1,
    "instruments": 14,
    "clients": 500,
    "deaf": 200,
    "slow": 50,
    "seconds": 60.0,
    "events": 150_000,
    "mb_per_s": 20.0,
    "late_ms": {"p50": 10.0, "p90": 40.0, "p99": 90.0, "max": 200.0},
    "ended": 0,
    "refused": 0,
    "clients_cpu_share": 0.2,
    "alone": WORKER,
    "crowded": dict(WORKER),
    "overflowed": 0.0,
    "lag_records_most": 9.0,
    "memory_grew_mb": 30.0,
    "memory_after_mb": 120.0,
    "hostile": {
        "requests": 900,
        "statuses": {"400": 900},
        "wrong": [],
        "slow_ended": 100,
        "ordinary_p50_ms": 2.0,
        "ordinary_p99_ms": 20.0,
        "ordinary_failed": [],
    },
}


def missed(changes: dict[str, Any]) -> list[str]:
    """Return what a run with these changes misses."""
    figures = copy.deepcopy(GOOD)
    for path, value in changes.items():
        place = figures
        *way, last = path.split(".")
        for step in way:
            place = place[step]
        place[last] = value
    return [what for what, is_so in judged(figures).items() if not is_so]


def test_a_good_run_misses_nothing() -> None:
    assert missed({}) == []


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        ("late_ms.p99", 251.0, "p99 of delivery"),
        ("memory_grew_mb", 101.0, "memory"),
        ("crowded.windows_per_s", 15.0, "processing"),
        ("crowded.messages_per_s", 180.0, "processing"),
        ("overflowed", 1.0, "processing"),
        ("ended", 1, "no client"),
        ("refused", 1, "no client"),
        ("hostile.ordinary_p99_ms", 101.0, "ordinary answer"),
        ("hostile.wrong", ["500"], "hostile requests"),
        ("hostile.ordinary_failed", ["503"], "every ordinary answer"),
    ],
)
def test_what_is_demanded_is_judged(path: str, value: object, word: str) -> None:
    (found,) = missed({path: value})
    assert word in found


def test_the_page_says_what_a_run_missed() -> None:
    worse = copy.deepcopy(GOOD) | {"at": "2026-01-02T00:00:00Z", "memory_grew_mb": 150.0}
    text = page([run | {"asked": judged(run)} for run in (GOOD, worse)])
    assert "## 2026-01-01T00:00:00Z: all that is asked" in text
    assert "## 2026-01-02T00:00:00Z: missed: memory + ≤ 100 MB" in text
    assert text.index("2026-01-02") < text.index("2026-01-01")
    assert "| late p50 / p90 / **p99** / max, ms | 10.0 / 40.0 / **90.0** / 200.0 |" in text


def test_a_quantile_is_of_what_was_counted_meanwhile() -> None:
    def at(second: float, *counts: int) -> Scrape:
        bounds = ("0.1", "1.0", "+Inf")
        buckets = {
            ("h_bucket", (("le", bound), ("stage", "a"))): float(count)
            for bound, count in zip(bounds, counts, strict=True)
        }
        return Scrape(second, buckets | {("n_total", (("status", "gap"),)): float(counts[-1])})

    before, after = at(0.0, 100, 100, 100), at(10.0, 150, 190, 200)
    assert quantile_s(before, after, "h", 0.5, stage="a") == 0.1
    assert quantile_s(before, after, "h", 0.9, stage="a") == 1.0
    assert quantile_s(before, after, "h", 0.99, stage="a") == inf
    assert rate(before, after, "n_total") == 10.0
