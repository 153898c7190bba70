"""Every status and every reason that the code can give is known wherever it is shown or counted.

The lists come from the code: the types that mypy holds it to, and what its sources construct.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from app.api.openapi import document
from app.cli.terminal.rendering import QUALITY
from deribit.vocabulary import OTHER_ERROR, REASONS, Ending, ErrorCode, error_name
from models.status import FEED_STATUSES, STATUSES
from tests.cli.test_table import board_of
from tests.cli.test_table import state as row_of
from tests.harness.processes import ROOT
from tests.monitoring.test_metrics import Worker, samples, state

MEANING = re.compile(r'^  (\w+): "(.{20,}?)",$', re.MULTILINE)


def test_who_reads_adds_one_word_to_what_the_feed_says() -> None:
    assert set(STATUSES) - set(FEED_STATUSES) == {"recovering"}
    assert set(FEED_STATUSES) < set(STATUSES)


def test_the_api_describes_every_status() -> None:
    schemas: dict[str, Any] = document()["components"]["schemas"]
    for model in ("Meta", "ImbalanceRow", "QualityRow", "InstrumentRow"):
        assert tuple(schemas[model]["properties"]["status"]["enum"]) == STATUSES
    text = (ROOT / "docs" / "api.md").read_text()
    assert [status for status in STATUSES if f"`{status}`" not in text] == []


def test_every_status_is_counted() -> None:
    worker = Worker()
    worker.states.clear()
    for status in FEED_STATUSES:
        one = worker.states[status.encode()] = state(status.upper())
        one.status, one.is_retired = status, status == "retired"
    worker.collector()
    counted = samples(worker.written.metrics)["steelyard_instruments"]
    assert counted == {(status,): 1 for status in FEED_STATUSES}


def test_the_terminal_knows_every_status() -> None:
    from app.cli.terminal.table import Order

    assert set(STATUSES) < set(QUALITY)
    rows = [row_of(f"I{place}", status=status) for place, status in enumerate(STATUSES)]
    worst_first = [row.status for row in board_of(*rows).rows(10.0, Order.QUALITY)]
    assert worst_first == list(reversed(STATUSES))


def test_the_page_explains_every_status() -> None:
    source = (ROOT / "dashboard" / "statuses.js").read_text()
    assert tuple(name for name, _ in MEANING.findall(source)) == STATUSES


def constructed_reasons() -> set[str]:
    """Return the reasons of all Reconnects in deribit/, as the sources write them."""
    found = set()
    for path in sorted((ROOT / "deribit").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Reconnect":
                found.add(ast.unparse(node.args[0]))
    return found


def test_every_reason_for_a_reconnect_is_a_known_word() -> None:
    written = constructed_reasons()
    assert "error_name(error.code)" in written
    assert written - {"error_name(error.code)"} == {f"Ending.{one.name}" for one in Ending}
    assert {error_name(code) for code in (*ErrorCode, 4_711)} <= set(REASONS)
    assert len(set(REASONS)) == len(REASONS)


def test_every_reason_is_counted_from_the_beginning() -> None:
    worker = Worker()
    counts = worker.ingest.client.counts.disconnects
    counts.clear()
    counts.update({Ending.TOO_SLOW: 3, "a word of a later release": 2})
    worker.collector()
    counted = samples(worker.written.metrics)["steelyard_feed_disconnects_total"]
    assert set(counted) == {(str(reason),) for reason in REASONS}
    assert counted[("connection_too_slow",)] == 3
    assert counted[(OTHER_ERROR,)] == 2
    assert sum(counted.values()) == 5
