"""`check`: everything a finished run wrote, against the oracle. The workers must have stopped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.processing.processor import Rules
from app.settings import Settings
from app.topics.admin import changelog_name
from app.verify.records import Record, committed, end_offsets, read_topic
from app.verify.report import Report
from app.verify.strays import without_strays
from app.verify.truth import Truth, compare_feed
from orderbook.units import UNIT
from tests.checker.changelog import Recovered, compare_states
from tests.checker.missing_trades import compare_trades
from tests.checker.missing_windows import compare_continuity
from tests.checker.oracle import Oracle, WindowKey, published_key
from tests.checker.reference import compare_reference
from tests.checker.served import Sample, Served

REFERENCE_BUDGET_S: Final = 5.0


@dataclass(slots=True)
class Written:
    """What a run wrote."""

    feed: list[Record]
    windows: list[Record]
    changelog: list[Record]
    committed: dict[int, int]
    ends: dict[int, int]
    """Of every partition of the feed."""


async def read_written(settings: Settings) -> Written:
    """Read the topics of an installation."""
    kafka, prefix = settings.kafka, settings.topic_prefix
    feed = f"{prefix}feed"
    return Written(
        feed=await read_topic(kafka, feed),
        windows=await read_topic(kafka, f"{prefix}windows"),
        changelog=await read_topic(kafka, changelog_name(settings.app_id, "books")),
        committed=await committed(kafka, settings.app_id, feed),
        ends=await end_offsets(kafka, feed),
    )


def check(
    written: Written,
    rules: Rules,
    *,
    truth: Path | None = None,
    samples: Iterable[Sample] = (),
    seed: int = 0,
    reference_budget_s: float = REFERENCE_BUDGET_S,
) -> Report:
    """Return what is wrong with what was written."""
    report = Report(seed=seed)
    recovered = Recovered()
    recovered.take(written.changelog)
    states = recovered.states(rules, report)
    report.compared["overtaken"] = len(recovered.overtaken)
    served = Served(list(samples), rules.stale_after_ms)
    oracle = Oracle(rules, frozenset(states), on_state=served.see)
    feed = without_strays(written.feed, len(written.ends), report)
    oracle.replay(feed)
    report.count("feed_records", len(written.feed))
    compare_states(states, oracle, written.committed, report)
    _compare_commits(written, report)
    published = _compare_windows(written, oracle, report)
    compare_continuity(feed, published, oracle.windows.keys(), rules.grace_ms, report)
    served.compare(report)
    if truth is not None:
        known = Truth.read(truth)
        compare_feed(feed, known, report)
        compare_trades(feed, known, report)
        _compare_final_books(oracle, known, report)
    if reference_budget_s:
        compare_reference(feed, published, rules, report, seed=seed, budget_s=reference_budget_s)
    return report


def _compare_commits(written: Written, report: Report) -> None:
    """What no commit covers was not processed to its end, though the run had time for it."""
    for partition, end in written.ends.items():
        position = written.committed.get(partition, 0)
        if position < end:
            report.lost += end - position
            report.name("lost", f"feed-{partition}: committed {position} of {end}")


def _compare_windows(written: Written, oracle: Oracle, report: Report) -> dict[WindowKey, bytes]:
    published: dict[WindowKey, bytes] = {}
    for record in written.windows:
        value = record.value or b""
        key = published_key(value)
        report.count("windows" if key not in published else "repeated_windows")
        published.setdefault(key, value)
        expected = oracle.windows.get(key)
        if expected is None or expected[0] != value:
            report.dup_effect += 1
            why = "differs from" if expected else "is not among"
            report.name("dup_effect", f"{tuple(key)} @{record.offset} {why} the oracle's")
    for key, (_, closed_by) in oracle.windows.items():
        if key not in published:
            report.lost += 1
            report.name("lost", f"{tuple(key)}, closed by feed@{closed_by.offset}")
    for key in oracle.contradictions:
        report.dup_effect += 1
        report.name("dup_effect", f"{tuple(key)}: the feed gives it twice, and differently")
    return published


def _compare_final_books(oracle: Oracle, truth: Truth, report: Report) -> None:
    for (_, name), state in oracle.processors.items():
        book, channel = state.instrument.book, state.instrument.channel
        if channel not in truth.ids or book.change_id is None:
            continue
        expected = truth.book(channel, book.change_id)
        if expected is None:
            continue  # a book that the test itself injected
        report.count("final_books")
        found = [
            [(price, size) for price, size in side.levels()] for side in (book.bids, book.asks)
        ]
        wanted: Sequence[list[tuple[int, int]]] = [
            [(int(price * UNIT), int(size * UNIT)) for price, size in side]
            for side in expected.sides()
        ]
        if found != list(wanted):
            report.hash_equal = False
            report.name("hash_equal", f"{name}: not the venue's book of {book.change_id}")
