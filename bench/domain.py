"""What a notification costs without Kafka: decoding, the book, the measures, the windows.

Each step includes the ones before it, so that the difference between two is the cost of a group of
fields. The last is `compute`, which is all that a worker does with a notification of its feed.
Each says whether it ran compiled; STEELYARD_COMPILED=0 measures the same as pure Python.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final

from app import WHAT_RUNS
from app.compute import compute
from app.processor import Rules
from bench.feeds import (
    INSTRUMENTS,
    Log,
    book_messages,
    generated,
    instrument_names,
    recording,
)
from bench.machine import load
from deribit.messages import decode, is_linear
from models.window import encode_window
from orderbook.book import Book
from orderbook.events import Change
from orderbook.imbalance import measure

RULES: Final = Rules((1_000, 10_000, 60_000), 250, 3_000)
GENERATED: Final = 60_000
QUICK_GENERATED: Final = 3_000
QUICK_LINES: Final = 3_000
ROUNDS: Final = 3
"""The best of so many is taken: whatever else runs on the machine only ever adds."""

Messages = list[tuple[str, bytes]]


def run(*, quick: bool) -> list[dict[str, Any]]:
    """Measure every step on both logs."""
    print(f"bench: the hot path runs {WHAT_RUNS}", file=sys.stderr)
    logs = (
        generated(QUICK_GENERATED if quick else GENERATED, instrument_names(INSTRUMENTS)),
        recording(limit=QUICK_LINES if quick else None),
    )
    return [result for log in logs for result in steps(log, 1 if quick else ROUNDS)]


def steps(log: Log, rounds: int) -> list[dict[str, Any]]:
    """Return the cost of each step of a log."""
    before = load()
    messages = list(book_messages(log))
    timed: dict[str, Callable[[], object]] = {
        "decode": lambda: _decode(messages),
        "book: chain, levels": lambda: _apply(messages),
        "state: spread, levels, bands": lambda: _measure(messages),
        "all: flow, means, windows, trades": lambda: _compute(log),
    }
    results = []
    previous = 0.0
    for step, work in timed.items():
        seconds = min(_cpu_s(work) for _ in range(rounds))
        results.append(
            {
                "log": log.name,
                "load_before": before,
                "hot_path": WHAT_RUNS,
                "step": step,
                "changes": log.changes,
                "cpu_s": round(seconds, 3),
                "us_per_change": round(1e6 * seconds / log.changes, 2),
                "us_more_than_before": round(1e6 * (seconds - previous) / log.changes, 2),
                "changes_per_s": round(log.changes / seconds),
                "levels_per_s": round(log.levels / seconds),
            }
        )
        previous = seconds
    return results


def _cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _decode(messages: Messages) -> None:
    for name, message in messages:
        decode(message, name)


def _apply(messages: Messages) -> None:
    books: dict[str, Book] = {}
    for name, message in messages:
        _applied(books, name, message)


def _measure(messages: Messages) -> None:
    books: dict[str, Book] = {}
    for name, message in messages:
        book = _applied(books, name, message)
        if book.is_two_sided:
            measure(book, linear=is_linear(name))


def _applied(books: dict[str, Book], name: str, message: bytes) -> Book:
    decoded = decode(message, name)
    assert decoded is not None
    change = decoded[1]
    assert isinstance(change, Change)
    book = books.get(name)
    if book is None:
        book = books[name] = Book(linear=is_linear(name))
    book.apply(change)
    return book


def _compute(log: Log) -> None:
    for window in compute(log.lines, RULES):
        encode_window(window)
