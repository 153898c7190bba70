"""The windows of an undisturbed run, from the venue's own log; what was published is held to them.

The log has books and trades, so what follows from tickers, and the weights, which learn from the
windows before, are not compared. A window that is complete must be the venue's; one that is not,
although the venue's is, is flagged because of us.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.verify.report import Report
from tests.checker.oracle import WindowKey, spread, window_key
from tests.checker.reading import Rules
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
    """Compare published windows with the venue's own; count those that are flagged."""
    logs = []
    for name, channel in sorted({(key.instrument, key.channel) for key in found}):
        followed = {channel, f"trades.{name}.{channel.rpartition('.')[2]}"}
        told = [each for each in truth.told.get(name, ()) if each.channel in followed]
        if told:
            logs.append(Log(name, channel, rules, told))
    last_ms = _last_ends(found)
    for log, windows in zip(
        logs, spread(windows_of_log, logs, [len(log.told) for log in logs]), strict=True
    ):
        begun_ms = _begun_ms(found, log, min(rules.lengths_ms))
        for window in windows:
            expected = published(window)
            if not is_whole(expected):
                continue  # the log begins or ends in it
            key = window_key(expected)
            until_ms = min(truth.end_ms, last_ms.get((key.length_ms, key.hop_ms), 0))
            _compare_one(key, found.get(key), expected, begun_ms, until_ms, report)


def is_whole(window: Mapping[str, Any]) -> bool:
    """Whether a window says that all of it is known."""
    return (
        window["status"] == "complete"
        and window["trades_coverage"] == 1
        and not window["trade_gaps"]
        and window["trades_missed_since_ms"] is None
    )


def _compare_one(
    key: WindowKey,
    window: dict[str, Any] | None,
    expected: Mapping[str, Any],
    begun_ms: int | None,
    until_ms: int,
    report: Report,
) -> None:
    if window is None or not is_whole(window):
        if begun_ms is not None and begun_ms <= key.start_ms and expected["end_ms"] <= until_ms:
            report.flagged += 1
            why = "not published" if window is None else window["status"]
            report.name("flagged", f"{tuple(key)}: {why}")
        return
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


def _begun_ms(found: Mapping[WindowKey, dict[str, Any]], log: Log, length_ms: int) -> int | None:
    """Return when an instrument's first whole window began: before it, the run did."""
    return min(
        (
            key.start_ms
            for key, window in found.items()
            if (key.instrument, key.channel) == (log.name, log.channel)
            and key.length_ms == length_ms
            and is_whole(window)
        ),
        default=None,
    )


def _last_ends(keys: Iterable[WindowKey]) -> dict[tuple[int, int | None], int]:
    """Return the end of the last window of each length: until then they were due."""
    ends: dict[tuple[int, int | None], int] = {}
    for key in keys:
        of = key.length_ms, key.hop_ms
        ends[of] = max(key.start_ms + key.length_ms, ends.get(of, 0))
    return ends
