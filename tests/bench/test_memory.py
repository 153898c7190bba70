"""The slope of what a worker holds."""

from __future__ import annotations

import pytest

from bench.memory import growth_mb_an_hour
from bench.render import drawn
from bench.tables import table_of


def test_flat_is_zero_whatever_came_first() -> None:
    assert growth_mb_an_hour([50.0 + at for at in range(100)] + [150.0] * 100) == 0


def test_a_leak_shows_by_the_hour() -> None:
    assert growth_mb_an_hour([100 + 0.01 * at for at in range(600)]) == pytest.approx(36.0)


def test_two_samples_are_needed() -> None:
    assert growth_mb_an_hour([100.0, 101.0]) is None


def test_the_table_shows_first_most_and_last() -> None:
    result = {
        "rate": 1_000,
        "instruments": 131,
        "minutes": 60.0,
        "resident_mb": [100.0, 180.4, 150.0],
        "mb_an_hour": 1.5,
    }
    table = table_of({"part": "memory", "results": [result]})
    assert "| 1,000 | 131 | 60.0 | 100 / 180 / 150 | 1.5 |" in table


def test_the_plot_has_a_dot_a_minute() -> None:
    held = [100.0 + at for at in range(150)]
    result = {"rate": 1_000, "instruments": 131, "minutes": 2.5, "resident_mb": held}
    (line,) = drawn({"memory": {"results": [result]}})["memory"]
    assert line["resident_mb_each_minute"] == [100.0, 160.0, 220.0]
