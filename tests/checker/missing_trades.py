"""Trades of the venue's own log that are missing in the feed, inside an unbroken session.

Trades of an instrument are numbered without a hole, in the order of their channel. Between two
trades that a session has heard, every one that the venue has told must be there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from app.verify.records import Record
from tests.checker.feed import Frame
from tests.checker.report import Report
from tests.checker.truth import Truth, trades_of


def compare_trades(feed: Iterable[tuple[Record, Frame]], truth: Truth, report: Report) -> None:
    """Count trades that the venue has told between two that a session heard, and are not there."""
    last: dict[tuple[str, str], int] = {}
    for _, frame in feed:
        for kind, *fields in frame.items:
            if kind in {"d", "g"}:
                last.pop((frame.session, frame.instrument), None)
            elif kind == "n":
                for name, number in trades_of(fields[1]):
                    where = frame.session, name
                    report.count("trades")
                    _between(truth.trades.get(name, []), last.get(where), number, name, report)
                    last[where] = max(number, last.get(where, number))


def _between(told: list[int], after: int | None, until: int, name: str, report: Report) -> None:
    if after is None or until <= after:
        return
    missing = told[bisect_right(told, after) : bisect_left(told, until)]
    if missing:
        report.lost += len(missing)
        report.name("lost", f"{name}: {len(missing)} trades missing, the first is {missing[0]}")
