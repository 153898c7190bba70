"""The figures of the fault suite are what a reader takes them for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.system.chaos.render import COLUMNS, row
from tests.system.chaos.run import Run
from tests.system.chaos.steps import Kill, Live, Start


def figures(**changes: Any) -> dict[str, Any]:
    """Return what one run leaves behind."""
    compared = {"windows": 100, "answers": 50, "published": 4_000, "due_windows": 90}
    exact = {"lost": 0, "dup_effect": 0, "hash_equal": True, "wrong_served": 0}
    times = {"ttr_all_s": [3.0], "stop_s": [1.0], "ttr_limit_s": 10.0}
    run = {"scenario": "B1", "rate": 300.0, "compared": compared, "notes": {}, **exact, **times}
    return run | {"flagged": 6, "missing": 250} | changes


def shown(*runs: dict[str, Any]) -> dict[str, str]:
    """Return the row of the document, by its columns."""
    return dict(zip(COLUMNS, row(list(runs)).strip("| ").split(" | "), strict=True))


def test_what_is_missing_and_flagged_is_shown() -> None:
    cells = shown(figures(), figures(flagged=12, missing=270), figures(flagged=7, missing=260))
    assert cells["flagged"] == "7 / 12 of 90"
    assert cells["missing"] == "260 / 270 of 4000"


def test_a_run_that_did_not_finish_says_nothing() -> None:
    cells = shown(figures(error="it hangs", hash_equal=False, compared={}, ttr_all_s=[]))
    assert (cells["not finished"], cells["hash_equal"]) == ("1", "–")
    assert cells["flagged"] == cells["missing"] == cells["ttr min / median / max, s"] == "–"


def test_the_time_counts_from_the_fault_and_not_from_the_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = SimpleNamespace(kill=lambda: None)
    run = Run(SimpleNamespace(workers={1: worker}, start_worker=lambda number: worker), seed=1)
    now_ns = iter(range(10**9, 10**11, 10**9))
    monkeypatch.setattr("tests.system.chaos.run.time.time_ns", lambda: next(now_ns))
    asked_since: list[int] = []

    def wait_live(since_ms: int, limit_s: float) -> float:
        asked_since.append(since_ms)
        return 1.0

    monkeypatch.setattr(run.watcher, "wait_live", wait_live)
    for step in (Start((1,)), Live(), Kill(1), Start((1,)), Live(), Start((1,)), Live()):
        step.do(run)
    assert asked_since == [1_000, 2_000, 3_000], "the second start is a part of the recovery"
