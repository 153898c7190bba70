"""What a notification costs: steps that each do what the ones before do, and how it grows."""

from __future__ import annotations

import pytest

from app.recordings.compute import compute
from bench import domain, growth
from bench.domain import NONE_CLOSES, RULES
from bench.feeds import Log, book_messages, generated, instrument_names
from bench.tables import table_of


@pytest.fixture
def log() -> Log:
    return generated(400, instrument_names(3), depth=20)


def test_the_last_but_one_closes_the_windows_of_compute(log: Log) -> None:
    closed = len(list(compute(log.lines, RULES)))
    assert closed > 30
    assert domain._observe(list(book_messages(log)), RULES.spans) == closed


def test_the_step_before_closes_none(log: Log) -> None:
    assert domain._observe(list(book_messages(log)), NONE_CLOSES) == 0


def test_what_is_new_is_the_difference_to_the_step_before(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.001, 0.003, 0.006, 0.007, 0.011])
    monkeypatch.setattr(domain, "_cpu_s", lambda _: next(seconds))
    results = domain.steps(log, 1)
    assert [result["us_more_than_before"] for result in results] == [2.5, 5.0, 7.5, 2.5, 10.0]
    table = table_of({"part": "domain", "results": results})
    assert "all: trades, quotes, frames; windows encoded | 27.5 | 10.0 |" in table


def test_many_instruments_have_changes_enough_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "_cost", lambda log, _: {"log": log})
    monkeypatch.setattr(growth, "INSTRUMENTS", (1, 120))
    monkeypatch.setattr(growth, "DEPTHS", ())
    one, many = (result["log"] for result in growth.run(quick=False))
    assert one.changes == growth.NOTIFICATIONS + 1  # and a snapshot
    assert many.changes == 120 * (growth.CHANGES_EACH + 1)
