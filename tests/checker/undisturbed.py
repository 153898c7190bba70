"""The windows of an undisturbed run, by the venue's own log; what was published is held to them.

The log has books and trades, so what follows from tickers, and the weights, which learn from the
windows before, are not compared. A window that is complete must be the venue's; one that is not,
although the venue's is, is flagged because of us.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.checker.oracle import WindowKey, spread, window_key
from tests.checker.reading import Rules
from tests.checker.report import Report
from tests.checker.truth import Told, Truth
from tests.reference.windows import Window, history_of, published, windows_of

OF_OTHERS: Final = frozenset(
    {
        *("venue", "snapshots", "late_trades"),  # of the run, not of the market
        *("mark_price", "index_price", "funding_8h", "open_interest_usd", "ticker_ms"),
        *("ofi_integrated", "ofi_weights", "ofi_weights_windows", "ofi_weights_explained"),
    }
)
"""Fields that do not follow from the log's books and trades of the window alone."""
MAX_TOLD: Final = 10_000
"""Notifications of which windows are worked out a second time."""


@dataclass
class Log:
    """One instrument of the venue's log, on the channels that were followed."""

    name: str
    channel: str
    rules: Rules
    told: list[Told]


def windows_of_log(log: Log) -> list[Window]:
    """Return what an undisturbed session would have published."""
    said = [("message", told.time_ms * 1_000_000, told.message) for told in log.told]
    items = [("connected",), ("trades_followed", True), *said]
    history = history_of(items, instrument=log.name, channel=log.channel)
    return windows_of(
        history,
        lengths_ms=log.rules.lengths_ms,
        hopping=log.rules.hopping,
        grace_ms=log.rules.grace_ms,
    )


def compare_undisturbed(
    found: Mapping[WindowKey, dict[str, Any]], truth: Truth, rules: Rules, report: Report
) -> None:
    """Hold whole windows to the venue's own, of instruments in an order drawn from the seed.

    Of as many as are not too much, and of one at least: that the feed has all of the log, and that
    what was published follows from the feed, is looked at for all of them.
    """
    names = sorted({(key.instrument, key.channel) for key in found})
    random.Random(report.seed).shuffle(names)
    logs: list[Log] = []
    for name, channel in names:
        followed = {channel, f"trades.{name}.{channel.rpartition('.')[2]}"}
        told = [each for each in truth.told.get(name, ()) if each.channel in followed]
        if told and (not logs or sum(len(log.told) for log in logs) + len(told) <= MAX_TOLD):
            logs.append(Log(name, channel, rules, told))
    sizes = [len(log.told) for log in logs]
    for windows in spread(windows_of_log, logs, sizes):
        for window in windows:
            expected = published(window)
            key = window_key(expected)
            if is_whole(expected) and key in found and is_whole(found[key]):
                _compare_one(key, found[key], expected, report)


def count_flagged(
    found: Mapping[WindowKey, dict[str, Any]], truth: Truth, rules: Rules, report: Report
) -> None:
    """Count windows that are not whole, or were never published: the log is, from end to end.

    From the first whole window of an instrument, before which the run began, to when the run began
    to end; but not what no window of that length had got to yet.
    """
    ends: dict[tuple[int, int], int] = {}
    for key in found:
        of = key.length_ms, key.hop_ms or key.length_ms
        ends[of] = max(key.start_ms + key.length_ms, ends.get(of, 0))
    shortest_ms = min(rules.lengths_ms)
    begun_ms: dict[tuple[str, str], int] = {}
    for key in sorted(found, key=lambda key: key.start_ms):
        if key.length_ms == shortest_ms and is_whole(found[key]):
            begun_ms.setdefault((key.instrument, key.channel), key.start_ms)
    for (name, channel), first_ms in begun_ms.items():
        first_ms = max(first_ms, truth.told[name][0].time_ms if name in truth.told else first_ms)
        for (length_ms, hop_ms), end_ms in ends.items():
            until_ms = min(end_ms, truth.end_ms) - length_ms
            for start_ms in range(-(-first_ms // hop_ms) * hop_ms, until_ms + 1, hop_ms):
                hop = None if hop_ms == length_ms else hop_ms
                key = WindowKey(name, channel, length_ms, start_ms, hop)
                report.count("due_windows")
                window = found.get(key)
                if window is None or not is_whole(window):
                    report.flagged += 1
                    why = "not published" if window is None else window["status"]
                    report.name("flagged", f"{tuple(key)}: {why}")


def is_whole(window: Mapping[str, Any]) -> bool:
    """Whether a window says that all of it is known."""
    return (
        window["status"] == "complete"
        and window["trades_coverage"] == 1
        and not window["trade_gaps"]
        and window["trades_missed_since_ms"] is None
    )


def _compare_one(
    key: WindowKey, window: dict[str, Any], expected: Mapping[str, Any], report: Report
) -> None:
    if window["snapshots"] or window["late_trades"] or expected["late_trades"]:
        return  # whole, and of the same market; but some of it was told twice, or too late
    report.count("undisturbed_windows")
    wrong = [
        name
        for name in expected
        if name not in OF_OTHERS and repr(window[name]) != repr(expected[name])
    ]
    if wrong:
        report.dup_effect += 1
        report.name("dup_effect", f"{tuple(key)}: not the venue's: {', '.join(wrong)}")
