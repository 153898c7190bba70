"""The reference's windows: which there are, and which trades come too late for them."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator

from tests.reference.history import History


def starts_of(history: History, length_ms: int, hop_ms: int) -> Iterator[int]:
    """Yield the start of each window that has begun, but of none wholly inside a clock's jump."""
    if history.first_snapshot_ms is None or history.clock_ms is None:
        return
    start = _first_start(history.first_snapshot_ms, length_ms, hop_ms)
    while start <= history.clock_ms:
        for before, after in history.jumps:
            if start > before and start + length_ms <= after:
                start = _first_start(after, length_ms, hop_ms)
        yield start
        start += hop_ms


def _first_start(time_ms: int, length_ms: int, hop_ms: int) -> int:
    """Return the start of the first window that contains an instant."""
    start = time_ms // hop_ms * hop_ms
    while start - hop_ms + length_ms > time_ms:
        start -= hop_ms
    return start


def late_trades(history: History, starts: list[int], length_ms: int, grace_ms: int) -> Counter[int]:
    """Return the late trades per window: each counts in the oldest one open on its arrival.

    A trade is late if it is from before that window, or within one that is published already.
    """
    late: Counter[int] = Counter()
    for arrival, trade in history.trades:
        place = bisect_right(starts, arrival - length_ms - grace_ms)
        oldest = starts[place]
        first = bisect_right(starts, trade.timestamp_ms - length_ms)
        containing = starts[first : bisect_right(starts, trade.timestamp_ms)]
        late[oldest] += trade.timestamp_ms < oldest or any(each < oldest for each in containing)
    return late


def is_published(clock_ms: int | None, end_ms: int, grace_ms: int) -> bool:
    """Return whether a window that ends then is published at this clock."""
    return clock_ms is not None and clock_ms >= end_ms + grace_ms
