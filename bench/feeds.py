"""The logs that everything is measured on: the same messages for every contestant.

- `recording`: the real recording, or the project's excerpt of it, as it is or as several
  instruments, each with the whole of it;
- `generated`: a feed like Deribit's `100ms` channels: each notification changes 1 to 3 levels.

A log is a list of (receive time in ns, message), as a recording has them.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from app.recordings.reader import read_recording
from app.topics.partitioner import partition_of

ROOT: Final = Path(__file__).resolve().parents[1]
EXCERPT: Final = ROOT / "tests" / "data" / "coinm-ethusd-excerpt.jsonl.gz"
BESIDE: Final = ROOT.parent / "shared" / "data" / "coinm-ethusd-as-deribit.jsonl.gz"
"""Where the whole recording lies beside a checkout of the project; see BENCH_RECORDING."""
RECORDED_NAME: Final = b"ETH-PERPETUAL"

INSTRUMENTS: Final = 131
"""Perpetuals that Deribit had open when its feed was measured."""
COPIES: Final = 8
"""Instruments that each have the whole recording: one in each partition."""

START_MS: Final = 1_700_000_000_000
NOTIFICATIONS_PER_S: Final = 10
"""Of one instrument: what a channel of 100 ms carries at most."""
SEED: Final = 7

BOOK_CHANNEL: Final = b'"channel":"book.'
TIMESTAMP: Final = b'"timestamp":'
TIMESTAMP_DIGITS: Final = 13
HEAD_BYTES: Final = 100
"""A notification names its channel within these; recorded text further on is not searched."""
CLOSE_AFTER_MS: Final = 60_000

Line = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Log:
    """Messages to be measured with, and what they hold."""

    name: str
    lines: list[Line]
    instruments: tuple[str, ...]
    channel: str
    """Interval of the book channels."""
    changes: int
    """Notifications of books."""
    levels: int
    """Level changes in them; those of a generated snapshot are not counted."""
    end_ms: int
    """Venue time of the last; a recorder's clock may be seconds behind it."""

    @property
    def notifications(self) -> int:
        """Messages in all: books, and whatever else was recorded."""
        return len(self.lines)


def recording_path() -> Path:
    """Return BENCH_RECORDING, else the whole recording if it is there, else the excerpt."""
    if chosen := os.environ.get("BENCH_RECORDING"):
        return Path(chosen)
    if BESIDE.exists():
        return BESIDE
    print(
        f"bench: {BESIDE.name} is not beside the project; measuring with the excerpt in tests/data "
        "(BENCH_RECORDING names another recording)",
        file=sys.stderr,
    )
    return EXCERPT


@lru_cache(maxsize=2)
def _recorded(path: Path, limit: int | None) -> tuple[Line, ...]:
    lines = []
    for line in read_recording(path):
        lines.append(line)
        if limit is not None and len(lines) >= limit:
            break
    return tuple(lines)


def recording(names: Sequence[str] = (), limit: int | None = None) -> Log:
    """Return the recording; with `names`, each of these has the whole of it, interleaved."""
    path = recording_path()
    lines = _recorded(path, limit)
    if names:
        encoded = [name.encode() for name in names]
        spread = [
            (received_ns, message.replace(RECORDED_NAME, name))
            for received_ns, message in lines
            for name in encoded
        ]
    else:
        spread = list(lines)
    changes, levels, end_ms = _counts(lines)
    copies = len(names) or 1
    return Log(
        f"recording {path.name.removesuffix('.gz')}",
        spread,
        tuple(names) or (RECORDED_NAME.decode(),),
        "raw",
        changes * copies,
        levels * copies,
        end_ms,
    )


def generated(
    notifications: int,
    names: Sequence[str],
    *,
    depth: int = 100,
    rate: float = NOTIFICATIONS_PER_S,
    seed: int = SEED,
) -> Log:
    """Return a feed of 1 to 3 level changes a notification, `depth` levels a side.

    Each instrument begins with a snapshot and then has `rate` notifications/s of event time.
    """
    instruments = [_Model(name, depth, seed + place) for place, name in enumerate(names)]
    lines = [(START_MS * 1_000_000, each.snapshot(START_MS)) for each in instruments]
    levels = 0
    spacing_ms = 1_000 / rate
    count = len(instruments)
    for number in range(max(0, notifications - count)):
        turn, place = divmod(number, count)
        at_ms = START_MS + int((turn + 1 + place / count) * spacing_ms)
        message, changed = instruments[place].change(at_ms)
        lines.append((at_ms * 1_000_000, message))
        levels += changed
    return Log(
        f"generated, {count} instruments, {depth} levels a side",
        lines,
        tuple(names),
        "100ms",
        len(lines),
        levels,
        lines[-1][0] // 1_000_000,
    )


class _Model:
    """A book whose best prices wander and whose sizes change, mostly near the front."""

    TICK: Final = 0.5
    DELETED_AT: Final = 0.15
    """Share of the changes of the best level that clear it, after which the price moves."""

    def __init__(self, name: str, depth: int, seed: int) -> None:
        self.name = name
        self.random = random.Random(seed)
        self.depth = depth
        middle = 20_000 + 2 * depth
        self.books = ({}, {})  # type: tuple[dict[int, float], dict[int, float]]
        for step in range(depth):
            self.books[0][middle - 1 - step] = self._size()
            self.books[1][middle + step] = self._size()
        self.best = [middle - 1, middle]
        self.change_id = seed * 1_000_000

    def snapshot(self, at_ms: int) -> bytes:
        sides = [
            ",".join(f'["new",{ticks * self.TICK},{size}]' for ticks, size in sorted(book.items()))
            for book in self.books
        ]
        return self._message(at_ms, "snapshot", "", *sides)

    def change(self, at_ms: int) -> tuple[bytes, int]:
        """Return a notification of 1 to 3 changed levels, and how many they are."""
        sides: list[list[str]] = [[], []]
        wanted = self.random.choice((1, 1, 2, 2, 3))
        touched: set[tuple[int, int]] = set()
        while len(touched) < wanted:
            side = self.random.randrange(2)
            away = min(int(self.random.expovariate(0.25)), self.depth - 1)
            ticks = self.best[side] + (away if side else -away)
            if (side, ticks) in touched:
                continue
            touched.add((side, ticks))
            sides[side].append(self._level(side, ticks))
        previous = f'"prev_change_id":{self.change_id},'
        return self._message(at_ms, "change", previous, *map(",".join, sides)), wanted

    def _level(self, side: int, ticks: int) -> str:
        book, price = self.books[side], ticks * self.TICK
        outward = 1 if side else -1
        is_best = ticks == self.best[side]
        if is_best and len(book) > 1 and self.random.random() < self.DELETED_AT:
            del book[ticks]
            while self.best[side] not in book:
                self.best[side] += outward
            return f'["delete",{price},0.0]'
        inward = ticks - outward
        room = inward not in self.books[1 - side] and (
            inward < self.best[1] if side == 0 else inward > self.best[0]
        )
        if is_best and room and self.random.random() < 2 * self.DELETED_AT:
            ticks, price = inward, inward * self.TICK
            self.best[side] = ticks
        action = "change" if ticks in book else "new"
        book[ticks] = size = self._size()
        return f'["{action}",{price},{size}]'

    def _size(self) -> float:
        return float(10 * self.random.randint(1, 5_000))

    def _message(self, at_ms: int, kind: str, previous: str, bids: str, asks: str) -> bytes:
        self.change_id += 1
        return (
            '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.'
            f'{self.name}.100ms","data":{{"timestamp":{at_ms},"type":"{kind}",{previous}'
            f'"change_id":{self.change_id},"instrument_name":"{self.name}",'
            f'"bids":[{bids}],"asks":[{asks}]}}}}}}'
        ).encode()


def instrument_names(count: int, partitions: int = 8) -> tuple[str, ...]:
    """Return so many names that Kafka spreads evenly over the partitions."""
    names: list[str] = []
    taken = [0] * partitions
    number = 0
    while len(names) < count:
        name = f"B{number}-PERPETUAL"
        number += 1
        partition = partition_of(name, partitions)
        if taken[partition] <= min(taken):
            taken[partition] += 1
            names.append(name)
    return tuple(names)


def _counts(lines: Sequence[Line]) -> tuple[int, int, int]:
    """Return notifications of books, level changes in them, and the last venue time."""
    changes = levels = end_ms = 0
    for _, message in lines:
        if BOOK_CHANNEL in message[:HEAD_BYTES]:
            changes += 1
            start = message.index(TIMESTAMP) + len(TIMESTAMP)
            end_ms = max(end_ms, int(message[start : start + TIMESTAMP_DIGITS]))
            levels += message.count(b'["new",') + message.count(b'["change",')
            levels += message.count(b'["delete",')
    return changes, levels, end_ms


def book_messages(log: Log) -> Iterator[tuple[str, bytes]]:
    """Iterate over (instrument, notification) of the books: all that the peers read."""
    for _, message in log.lines:
        start = message.find(BOOK_CHANNEL)
        if 0 < start < HEAD_BYTES:
            start += len(BOOK_CHANNEL)
            yield message[start : message.index(b".", start)].decode(), message


def closing_messages(log: Log) -> Iterator[tuple[str, bytes]]:
    """Iterate over a last notification of each instrument, which closes what came before it."""
    at_ms = log.end_ms + CLOSE_AFTER_MS
    for name in log.instruments:
        yield (
            name,
            (
                '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.'
                f'{name}.{log.channel}","data":{{"timestamp":{at_ms},"type":"change",'
                f'"prev_change_id":0,"change_id":0,"instrument_name":"{name}",'
                '"bids":[],"asks":[]}}}'
            ).encode(),
        )
