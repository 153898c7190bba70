"""`check`: everything a finished run wrote, against the oracle. The workers must have stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.processing import processor
from app.settings import Settings
from app.topics.admin import changelog_name
from app.verify.records import Record, committed, end_offsets, read_topic
from tests.checker.changelog import Claim, Recovered, compare_states
from tests.checker.feed import frames_of, without_strays
from tests.checker.missing_trades import compare_trades
from tests.checker.oracle import Answer, Key, WindowKey, answers, published_key, tasks_of
from tests.checker.reading import Rules
from tests.checker.report import Report
from tests.checker.served import Sample, Served
from tests.checker.truth import Truth, compare_all, compare_feed
from tests.checker.undisturbed import compare_undisturbed, count_flagged


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
    rules: processor.Rules,
    *,
    truth: Path | None = None,
    truth_bytes: int | None = None,
    samples: Iterable[Sample] = (),
    seed: int = 0,
) -> Report:
    """Return what is wrong with what was written.

    `truth`: the venue's own log. `truth_bytes`: how long it was when the run began to end.
    """
    report = Report(seed=seed)
    of_reference = _rules(rules)
    recovered = Recovered()
    recovered.take(written.changelog)
    states = recovered.states(rules, report)
    report.compared["overtaken"] = len(recovered.overtaken)
    served = Served(list(samples), rules.stale_after_ms)
    report.count("feed_records", len(written.feed))
    feed = list(without_strays(frames_of(written.feed), len(written.ends), report))
    tasks = tasks_of(feed, of_reference)
    _ask(tasks.values(), states, served)
    found = answers(tasks.values())
    compare_states(states, tasks, found, written.committed, report)
    _compare_commits(written, report)
    published = _compare_windows(written, found, report)
    served.take(found.values())
    served.compare(report)
    if truth is not None:
        known = Truth.read(truth, truth_bytes)
        compare_feed(feed, known, report)
        compare_trades(feed, known, report)
        compare_all(feed, known, report)
        count_flagged(published, known, of_reference, report)
        compare_undisturbed(published, known, of_reference, report)
        _compare_final_books(found, known, report)
    return report


def _rules(rules: processor.Rules) -> Rules:
    hopping = tuple((span.length_ms, span.hop_ms) for span in rules.hopping)
    return Rules(rules.lengths_ms, rules.grace_ms, rules.stale_after_ms, hopping)


def _ask(tasks: Iterable[Any], states: Iterable[Claim], served: Served) -> None:
    """Ask the oracle for the states that are claimed, and for the books that were served."""
    positions: dict[Key, set[int]] = {}
    for claim in states:
        positions.setdefault((claim.partition, claim.instrument), set()).add(claim.position)
    for task in tasks:
        task.positions = positions.get((task.partition, task.name), set())
        task.change_ids = served.wanted(task.name)


def _compare_commits(written: Written, report: Report) -> None:
    """What no commit covers was not processed to its end, though the run had time for it."""
    for partition, end in written.ends.items():
        position = written.committed.get(partition, 0)
        if position < end:
            report.lost += end - position
            report.name("lost", f"feed-{partition}: committed {position} of {end}")


def _compare_windows(
    written: Written, found: Mapping[Key, Answer], report: Report
) -> dict[WindowKey, dict[str, Any]]:
    expected = {key: window for each in found.values() for key, window in each.windows.items()}
    published: dict[WindowKey, bytes] = {}
    for record in written.windows:
        value = record.value or b""
        key = published_key(value)
        report.count("windows" if key not in published else "repeated_windows")
        is_same = published.setdefault(key, value) == value
        if key not in expected:
            report.dup_effect += 1
            report.name("dup_effect", f"{tuple(key)} @{record.offset} is not among the oracle's")
        elif not is_same or (wrong := _wrong(json.loads(value), expected[key])):
            report.dup_effect += 1
            why = f"differs from the oracle's in {', '.join(wrong)}" if is_same else "is a repeat"
            report.name("dup_effect", f"{tuple(key)} @{record.offset} {why}")
    for key in expected.keys() - published.keys():
        report.lost += 1
        report.name("lost", f"{tuple(key)} was not published")
    for each in found.values():
        for key in each.contradictions:
            report.dup_effect += 1
            report.name("dup_effect", f"{tuple(key)}: the feed gives it twice, and differently")
    return {key: json.loads(value) for key, value in published.items()}


def _wrong(window: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return the fields that differ, in value, kind of number, or place."""
    if json.dumps(window) == json.dumps(expected):
        return []
    names = dict.fromkeys([*expected, *window])
    differ = [name for name in names if repr(window.get(name)) != repr(expected.get(name))]
    return differ or ["their order"]


def _compare_final_books(found: Mapping[Key, Answer], truth: Truth, report: Report) -> None:
    for answer in found.values():
        if answer.channel not in truth.ids or answer.last is None:
            continue
        expected = truth.book(answer.channel, answer.last.change_id)
        if expected is None:
            continue  # a book that the test itself injected
        report.count("final_books")
        wanted: Sequence[list[tuple[int, int]]] = [
            [(int(price * 10**8), int(size * 10**8)) for price, size in side]
            for side in expected.sides()
        ]
        if [list(answer.last.bids), list(answer.last.asks)] != list(wanted):
            report.hash_equal = False
            report.name("hash_equal", f"{answer.key[1]}: not the venue's book")
