"""Windows that are missing, found from the published records and the feed's time stamps alone.

The oracle replays the feed through the product's own processor, so a processor that forgets to
close a window hides that from it. What must be there follows without it: a window of each length
begins where the one before it ended (or a hop later), and all are closed whose end is a grace
before the last time stamp of their instrument.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Container, Iterable
from typing import Final

from app.verify.records import Record
from app.verify.report import Report
from app.verify.truth import frames_of
from models.frame import Notification
from tests.checker.oracle import WindowKey

MAX_AHEAD_MS: Final = 5_000


def compare_continuity(
    feed: Iterable[Record],
    published: Iterable[WindowKey],
    known: Container[WindowKey],
    grace_ms: int,
    report: Report,
) -> None:
    """Count windows that lie between two published ones, or before the end, and are not there.

    Those that the oracle knows are counted already.
    """
    series: defaultdict[WindowKey, list[int]] = defaultdict(list)
    for key in published:
        series[key._replace(start_ms=0)].append(key.start_ms)
    last_ms = last_stamps(feed)
    for name, starts in series.items():
        hop_ms, end_ms = name.hop_ms or name.length_ms, max(starts) + 1
        stamp_ms = last_ms.get((name.instrument, name.channel))
        if stamp_ms is not None:  # all windows that end a grace before it are closed
            end_ms = max(end_ms, stamp_ms - grace_ms - name.length_ms + 1)
        due = set(range(min(starts), end_ms, hop_ms)) - set(starts)
        lost = [start for start in sorted(due) if name._replace(start_ms=start) not in known]
        report.lost += len(lost)
        if lost:
            report.name("lost", f"{tuple(name)}: {len(lost)} missing, the first at {lost[0]}")


def last_stamps(feed: Iterable[Record]) -> dict[tuple[str, str], int]:
    """Return the greatest time stamp of the book channel of each instrument, ms since the epoch."""
    found: dict[tuple[str, str], int] = {}
    for _, frame in frames_of(feed):
        for item in frame.items:
            if isinstance(item, Notification) and b'"book.' in item.message:
                stamp_ms = _stamp_of(item.message)
                where = frame.instrument, frame.channel
                # One that is far ahead of its receipt is refused, and closes nothing.
                if stamp_ms is not None and stamp_ms <= item.received_ns / 1e6 + MAX_AHEAD_MS:
                    found[where] = max(stamp_ms, found.get(where, stamp_ms))
    return found


def _stamp_of(message: bytes) -> int | None:
    try:
        stamp = json.loads(message)["params"]["data"]["timestamp"]
    except (ValueError, KeyError, TypeError):
        return None
    return stamp if isinstance(stamp, int) else None
