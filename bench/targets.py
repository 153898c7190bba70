"""The targets of the project beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from bench.growth import DEPTH
from bench.tables import markdown, number

Reports = dict[str, dict[str, Any]]
Row = tuple[str, str, str | None, str | None]

LEAST_RATES: Final = (
    ("1–3 levels", "generated", "notifications_per_s", 30_000, "notifications/s"),
    ("the recording", "recording", "levels_per_s", 250_000, "level changes/s"),
)
LEAST_RATIOS: Final = {"naive Faust": 20.0, "Quix Streams": 5.0, "Bytewax": 1.0}
"""How many times as fast as a peer one worker is to be; for Kafka Streams there is no target."""
TARGET_RATE: Final = 2_000
LEAST_SCALING: Final = 1.7
"""Two workers, against one."""
MOST_MB: Final = 400.0
FLAT_MB_AN_HOUR: Final = 10.0
"""A line through the noise of an allocator is not quite level."""
MOST_GROWTH: Final = 1.25
"""Flat: the cost of a notification with the most instruments, against one."""
MOST_DEEPER: Final = 4.0
"""Proportional to the logarithm of the depth: log 10,000 is four times log 10."""


def targets(reports: Reports) -> str:
    """Return the table of targets."""
    parts = (_replay, _live, _restart, _memory, _growth)
    rows = [row for part in parts for row in part(reports)]
    return markdown(("what", "target", "measured", "reached"), rows)


def _replay(reports: Reports) -> Iterator[Row]:
    all_results = _results(reports, "replay")
    results = [each for each in all_results if not each.get("percent")]
    one = {_kind(result): result for result in results if result["workers"] == 1}
    for what, kind, field, least, unit in LEAST_RATES:
        value = one[kind][field] if kind in one else None
        reached = None if value is None else _yes(value >= least)
        yield f"replay, one worker, {what}", f"≥ {number(least)} {unit}", number(value), reached
    yield from _scaling(results)
    yield from _scaling([each for each in all_results if each.get("percent")])
    for kind, result in one.items():
        yield from _peers(reports, kind, result)


def _scaling(results: list[dict[str, Any]]) -> Iterator[Row]:
    """Yield how many times as fast two workers are as one, by log."""
    one = {_kind(result): result for result in results if result["workers"] == 1}
    for two in results:
        kind, percent = _kind(two), two.get("percent")
        if two["workers"] != 2 or kind not in one:
            continue
        who = "two workers" if percent is None else f"two workers of {percent:g} % of a core each"
        what, target = f"{who}, {kind}", f"≥ {LEAST_SCALING:g}×"
        if why := two.get("not_measured") or one[kind].get("not_measured"):
            yield what, target, why, None
        else:
            ratio = two["changes_per_s"] / one[kind]["changes_per_s"]
            yield what, target, f"{ratio:.2f}×", _yes(ratio >= LEAST_SCALING)


def _peers(reports: Reports, kind: str, own: dict[str, Any]) -> Iterator[Row]:
    for peer in _results(reports, "peers"):
        wanted = LEAST_RATIOS.get(peer["who"])
        if wanted is None or _kind(peer) != kind:
            continue
        what, target = f"{peer['who']}, {peer['variant']}, {kind}", f"≥ {wanted:g}×"
        if "failed" in peer:
            yield what, target, "it did not finish", None
        else:
            ratio = own["changes_per_s"] / max(1, peer["changes_per_s"])
            yield what, target, f"{ratio:.1f}×", _yes(ratio >= wanted)


def _live(reports: Reports) -> Iterator[Row]:
    for result in _results(reports, "live"):
        if result["rate"] != TARGET_RATE:
            continue
        if "failed" in result:
            yield "live, 2,000/s", "live at all", "not in time", "no"
            continue
        pushed = result["socket_to_push_ms"]
        yield _at_most("live, 2,000/s, socket to push, p50", pushed["p50"], 10.0, "ms")
        yield _at_most("live, 2,000/s, socket to push, p99", pushed["p99"], 50.0, "ms")
        yield _at_most("live, 2,000/s, worker", result["cpu_percent"]["worker"], 60.0, "%")
        if held := result["resident_mb"]:
            yield _at_most("memory", max(held), MOST_MB, "MB")


def _restart(reports: Reports) -> Iterator[Row]:
    for result in _results(reports, "restart"):
        if "changelog_per_feed_byte" in result:
            share = result["changelog_per_feed_byte"]
            yield "changelog", "≤ 0.5 byte/byte", str(share), _yes(share <= 0.5)
        else:
            yield _at_most(result["what"], result["seconds_to_live"], 15.0, "s")


def _memory(reports: Reports) -> Iterator[Row]:
    for result in _results(reports, "memory"):
        over = f"memory, {result['rate']}/s, {result['minutes']:g} min"
        yield _at_most(over, max(result["resident_mb"]), MOST_MB, "MB")
        if (slope := result["mb_an_hour"]) is not None:
            what, unit = f"{over}, second half", "MB an hour"
            yield _at_most(what, slope, FLAT_MB_AN_HOUR, unit, shown=f"{slope:+}")


def _growth(reports: Reports) -> Iterator[Row]:
    for axis, what, other, usual, most in (
        ("instruments", "instruments", "depth", DEPTH, MOST_GROWTH),
        ("depth", "levels a side", "instruments", 1, MOST_DEEPER),
    ):
        results = [each for each in _results(reports, "growth") if each[other] == usual]
        if results:
            first, last = (of(results, key=lambda each: each[axis]) for of in (min, max))
            ratio = last["us_per_change"] / first["us_per_change"]
            name = f"{number(last[axis])} {what} against {number(first[axis])}"
            target, figure = f"≤ {most:g}×", f"{ratio:.2f}×"
            yield f"cost of a notification, {name}", target, figure, _yes(ratio <= most)


def _at_most(what: str, value: float | None, most: float, unit: str, shown: str = "") -> Row:
    target = f"≤ {most:g} {unit}"
    if value is None:
        return what, target, None, None
    return what, target, f"{shown or value} {unit}", _yes(value <= most)


def _results(reports: Reports, part: str) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = reports.get(part, {"results": []})["results"]
    return results


def _kind(result: dict[str, Any]) -> str:
    return str(result["log"]).split(",")[0].split()[0]


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"
