"""What a notification costs without Kafka: decoding, the book, the state, the windows, all.

Each step does what the ones before it do, with the product's own code, so that the difference
between two is the cost of what is new in it. The last is `compute` of lines that are in memory: it
finds each message's channel, puts it into a frame of its own, and hands that to a processor. A
worker is given frames instead, of more messages each, and has to read and publish besides. Each
step says whether it ran compiled; STEELYARD_COMPILED=0 measures the same as pure Python.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final

from app import WHAT_RUNS
from app.processing.processor import Rules
from app.recordings.compute import compute
from bench.feeds import (
    INSTRUMENTS,
    Log,
    book_messages,
    generated,
    instrument_names,
    recording,
)
from bench.machine import load
from deribit.decode_books_trades import decode
from deribit.served_instruments import sizes_by_name
from models.window import encode_window
from orderbook.book.book import Book
from orderbook.events import Change
from orderbook.instrument import Instrument
from orderbook.windows.span import MAX_LENGTH_MS, Span, tumbling

RULES: Final = Rules((1_000, 10_000, 60_000), 250, 3_000)
GENERATED: Final = 60_000
QUICK_GENERATED: Final = 3_000
QUICK_LINES: Final = 3_000
NONE_CLOSES: Final = tumbling(MAX_LENGTH_MS)
"""Windows of a day: both logs are of minutes."""
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
        "state: flow, and means of spread, levels, bands": lambda: _observe(messages, NONE_CLOSES),
        "windows: closed, with their records": lambda: _observe(messages, RULES.spans),
        "all: trades, quotes, frames; windows encoded": lambda: _compute(log),
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
        change = _change(name, message)
        book = books.get(name)
        if book is None:
            book = books[name] = Book(linear=sizes_by_name(name).linear)
        book.apply(change)


def _observe(messages: Messages, spans: tuple[Span, ...]) -> int:
    """Tell instruments all changes; return how many windows that closes."""
    instruments: dict[str, Instrument] = {}
    closed = 0
    for name, message in messages:
        change = _change(name, message)
        instrument = instruments.get(name)
        if instrument is None:
            linear, grace_ms = sizes_by_name(name).linear, RULES.grace_ms
            instrument = Instrument(name, linear=linear, spans=spans, grace_ms=grace_ms)
            instruments[name] = instrument
            instrument.connect()
        windows, _ = instrument.change(change)
        closed += len(windows)
    return closed


def _change(name: str, message: bytes) -> Change:
    decoded = decode(message, name)
    assert decoded is not None
    change = decoded[1]
    assert isinstance(change, Change)
    return change


def _compute(log: Log) -> None:
    for window in compute(log.lines, RULES):
        encode_window(window)
