"""The cost of groups of fields: in a process of its own, as pure Python."""

from __future__ import annotations

import gzip
from itertools import islice
from pathlib import Path

import pytest

from app.hot_path.finder import RUNS_COMPILED
from bench import fields
from bench.feeds import EXCERPT
from bench.render import page
from bench.tables import table_of

LINES = 1_500


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """The beginning of the excerpt, which has trades."""
    with gzip.open(EXCERPT, "rb") as whole:
        (tmp_path / "short.jsonl").write_bytes(b"".join(islice(whole, LINES)))
    return tmp_path / "short.jsonl"


def test_each_group_has_a_cost(recording: Path) -> None:
    results = {each["group"]: each for each in fields.run(quick=True, recording=recording)}
    assert all(each["hot_path"] != RUNS_COMPILED for each in results.values())
    whole, book = results[fields.WHOLE], results[fields.BOOK]
    assert whole["share"] == 1
    assert 0 < book["us_each"] < whole["us_each"]
    assert results["trades"]["kind"] == fields.TRADES
    assert results["context"]["count"] == whole["count"] // fields.CHANGES_PER_TICKER


RESULT = {
    "group": "trades",
    "hot_path": "pure Python",
    "kind": "notification of trades",
    "count": 1_665,
    "us_each": 16.5,
    "share": 0.04,
}


def test_the_table_says_what_each_cost_is_of() -> None:
    table = table_of({"part": "fields", "results": [RESULT]})
    assert "| trades | notification of trades | 1,665 | 16.5 | 4 % |" in table


def test_the_page_says_that_it_was_pure_python() -> None:
    machine = dict.fromkeys(("commit", "cores", "cpu", "memory_gb", "system", "python", "kafka"), 1)
    where = {**machine, "hot_path": "compiled", "packages": {}}
    text = page({"fields": {"began": "today", "machine": where, "results": [RESULT]}})
    assert "## Cost of each group of fields" in text
    assert "the hot path pure Python, Kafka" in text
