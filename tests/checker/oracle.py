"""The oracle says what a feed must lead to: windows, states and books, by the reference alone.

Nothing of the program computes here. The reference keeps everything and sums each window by its
definition, so it is slow: instruments are shared out to the cores of the machine.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from app.verify.records import Record
from tests.checker.feed import Frame
from tests.checker.reading import Reading, Rules
from tests.reference.book import Level
from tests.reference.windows import published

FEW: Final = 5_000
"""Notifications that are not worth another process."""
UNITS_PER_ONE: Final = 10**8

Levels = tuple[tuple[int, int], ...]
"""Price and size in units of 1e-8, best first."""
Key = tuple[int, str]
"""Partition and instrument."""

T = TypeVar("T")
R = TypeVar("R")


class WindowKey(NamedTuple):
    """What a window is known by; a repeat has the same."""

    instrument: str
    channel: str
    length_ms: int
    start_ms: int
    hop_ms: int | None = None
    """Only of windows that overlap."""


def window_key(window: dict[str, Any]) -> WindowKey:
    """Return the key of a window record."""
    return WindowKey(
        window["instrument"],
        window["channel"],
        window["length_ms"],
        window["start_ms"],
        window.get("hop_ms"),
    )


class Seen(NamedTuple):
    """A book after a frame, for who served it."""

    change_id: int
    bids: Levels
    asks: Levels
    is_live: bool
    superseded_ms: int | None = None
    """When the message came that replaced it."""


@dataclass
class Task:
    """What is asked of one instrument's frames."""

    partition: int
    name: str
    rules: Rules
    frames: list[tuple[int, Frame]] = field(default_factory=list)
    """With their offsets; those of ticks for all instruments are among them."""
    positions: set[int] = field(default_factory=set)
    """As of which the state is wanted: all before them is included."""
    change_ids: set[int] = field(default_factory=set)
    """After which the book is wanted."""


@dataclass
class Answer:
    """What one instrument's frames must lead to."""

    key: Key
    windows: dict[WindowKey, dict[str, Any]] = field(default_factory=dict)
    contradictions: list[WindowKey] = field(default_factory=list)
    """Windows that the feed itself gives twice, and differently."""
    states: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By position."""
    books: list[Seen] = field(default_factory=list)
    channel: str = ""
    last: Seen | None = None
    """The book at the end; None before the first snapshot."""


def answer(task: Task) -> Answer:
    """Work out one instrument."""
    found = Answer((task.partition, task.name))
    reading = Reading(task.name, task.rules)
    for _, frame in task.frames:
        before = reading.change_id
        reading.take(frame)
        _see(reading, before, task.change_ids, found)
    found.channel = reading.history.channel
    if reading.change_id is not None:
        found.last = _book(reading, reading.change_id)
    # The last reading answers for the end, too: what closes after it is the state's future.
    end = task.frames[-1][0] + 1 if task.frames else 0
    state = _state(reading, found)
    for position in task.positions:
        if position >= end:
            found.states[position] = state
            continue
        earlier = Reading(task.name, task.rules)
        for offset, frame in task.frames:
            if offset < position:
                earlier.take(frame)
        found.states[position] = _state(earlier, Answer(found.key))
    return found


def _state(reading: Reading, found: Answer) -> dict[str, Any]:
    """Return what the future depends on; put the windows that are due by now into the answer.

    Of the open windows, and all that they need, it is what they become if time passes.
    """
    due_ms, tick = reading.history.clock_ms, reading.tick_that_closes_all()
    state = {
        "session": reading.session,
        "sequence": reading.sequence,
        "is_live": reading.is_live,
        "change_id": None,
        "bids": (),
        "asks": (),
        "frames": dict(reading.counts),
    }
    if reading.is_live and reading.change_id is not None:
        book = _book(reading, reading.change_id)
        state |= {"change_id": book.change_id, "bids": book.bids, "asks": book.asks}
    if tick is not None:
        reading.take(tick)
    upcoming = []
    for number, stretch in enumerate(reading.stretches, start=1):
        for window in stretch.windows(reading.rules):
            record, end_ms = published(window), window["end_ms"]
            assert isinstance(end_ms, int)
            is_last = number == len(reading.stretches)
            if is_last and (due_ms is None or end_ms + reading.rules.grace_ms > due_ms):
                upcoming.append(record)
                continue
            known = found.windows.setdefault(window_key(record), record)
            if known != record:
                found.contradictions.append(window_key(record))
    return state | {"upcoming": upcoming}


def _see(reading: Reading, before: int | None, wanted: set[int], found: Answer) -> None:
    now = reading.change_id
    if before is not None and now != before:
        found.books = [
            book._replace(superseded_ms=reading.received_ns // 1_000_000)
            if book.change_id == before and book.superseded_ms is None
            else book
            for book in found.books
        ]
    if now is None or now not in wanted:
        return
    last = found.books[-1] if found.books else None
    if now != before or last is None or last.is_live != reading.is_live:
        found.books.append(_book(reading, now))


def _book(reading: Reading, change_id: int) -> Seen:
    bids, asks = reading.history.book or ([], [])
    return Seen(change_id, _levels(bids), _levels(asks), reading.is_live)


def _levels(side: Iterable[Level]) -> Levels:
    return tuple(
        (int(level.price * UNITS_PER_ONE), int(level.amount * UNITS_PER_ONE)) for level in side
    )


def tasks_of(feed: Iterable[tuple[Record, Frame]], rules: Rules) -> dict[Key, Task]:
    """Share out frames to their instruments, those of ticks to all of their partition so far."""
    tasks: dict[Key, Task] = {}
    for record, frame in feed:
        if frame.sequence:
            key = record.partition, frame.instrument
            task = tasks.setdefault(key, Task(*key, rules))
            task.frames.append((record.offset, frame))
        else:
            for (partition, _), task in tasks.items():
                if partition == record.partition:
                    task.frames.append((record.offset, frame))
    return tasks


def spread(work: Callable[[T], R], tasks: Sequence[T], sizes: Sequence[int]) -> list[R]:
    """Return the work on each task, in order; on all cores, the largest first, if it is much."""
    if sum(sizes) <= FEW or len(tasks) == 1:
        return [work(task) for task in tasks]
    order = sorted(range(len(tasks)), key=lambda place: -sizes[place])
    # Not forked: this process has threads, of clients of Kafka and others.
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        futures = {place: pool.submit(work, tasks[place]) for place in order}
        return [futures[place].result() for place in range(len(tasks))]


def answers(tasks: Iterable[Task]) -> dict[Key, Answer]:
    """Work out all instruments."""
    todo = list(tasks)
    sizes = [sum(len(frame.items) for _, frame in task.frames) for task in todo]
    return {found.key: found for found in spread(answer, todo, sizes)}


def published_key(value: bytes) -> WindowKey:
    """Return the key of a published window's JSON."""
    return window_key(json.loads(value))
