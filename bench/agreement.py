"""Whether contestants have computed the same: their windows against those of `compute`.

A comparison of speed is of no use if one side does less. Compared are the windows of one second in
which something happened: observations, the last imbalance of 1, 5 and 10 levels, and the order flow
imbalance of the best level.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isclose
from typing import Any, Final

from app.processing.processor import Rules
from app.recordings.compute import compute
from bench.feeds import CLOSE_AFTER_MS, Log

RULES: Final = Rules((1_000,), 250, 3_000)
RELATIVE: Final = 1e-9
"""Peers add floats where Steelyard adds integers."""
ABSOLUTE: Final = {
    "imbalance_1_last": 1e-12,
    "imbalance_5_last": 1e-12,
    "imbalance_10_last": 1e-12,
    "ofi_usd": 1e-3,
}
"""By field that is compared. Flows are sums of millions of USD, which may cancel out."""
COMPARED: Final = ("observations", *ABSOLUTE)

Truth = dict[tuple[str, int], dict[str, Any]]


def truth(log: Log) -> Truth:
    """Return the windows of one second of a log in which there was a notification of the book.

    Only what is compared of them: a log has up to a hundred thousand.
    """
    received_ns, at_ms = log.lines[-1][0] + CLOSE_AFTER_MS * 1_000_000, log.end_ms + CLOSE_AFTER_MS
    closers = [(received_ns, closing) for closing in _closers(log, at_ms)]
    windows = compute([*log.lines, *closers], RULES)
    return {
        (window["instrument"], window["start_ms"]): {name: window[name] for name in COMPARED}
        for window in windows
        if window["observations"]
    }


def _closers(log: Log, at_ms: int) -> Iterable[bytes]:
    """A ticker of each instrument, later than everything: it closes all windows.

    A snapshot would not do: it differs from the book, which is a gap of the windows before it.
    """
    for name in log.instruments:
        yield (
            f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"ticker.{name}.100ms",'
            f'"data":{{"timestamp":{at_ms},"instrument_name":"{name}","mark_price":1.0,'
            f'"index_price":1.0,"open_interest":1.0}}}}}}'
        ).encode()


def compare(expected: Truth, windows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Return how many windows are the same, differ, are missing, or are repeated differently."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    repeated = 0
    for window in windows:
        key = window["instrument"], window["start_ms"]
        if key in expected:
            repeated += key in found and found[key] != window
            found[key] = window
    same = sum(_is_same(expected[key], window) for key, window in found.items())
    return {
        "windows": len(expected),
        "same": same,
        "different": len(found) - same,
        "missing": len(expected) - len(found),
        "repeated": repeated,
    }


def _is_same(expected: dict[str, Any], window: dict[str, Any]) -> bool:
    if expected["observations"] != window["observations"]:
        return False
    return all(
        expected[name] is not None
        and window[name] is not None
        and isclose(expected[name], window[name], rel_tol=RELATIVE, abs_tol=most)
        for name, most in ABSOLUTE.items()
    )
