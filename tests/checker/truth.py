"""The venue's own log against the feed: did everything get here, and is the final book the venue's?

Only what the feed itself says is forgiven where something counts as lost: between a mark (gap,
disconnect) and the next snapshot a session knows that it knows nothing. What is missing counts all
the same: every notification that the venue published and no session of ours received.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from app.verify.plain_book import PlainBook, parse
from app.verify.records import Record
from tests.checker.feed import Frame
from tests.checker.report import Report


class Told(NamedTuple):
    """One line of the log."""

    time_ms: int
    channel: str
    message: bytes


def trades_of(message: bytes) -> list[tuple[str, int]]:
    """Return instrument and number of each trade of a notification; nothing of any other."""
    if b'"trades.' not in message:
        return []
    try:
        data = json.loads(message)["params"]["data"]
        return [(trade["instrument_name"], trade["trade_seq"]) for trade in data]
    except (ValueError, KeyError, TypeError):
        return []


@dataclass(slots=True)
class Truth:
    """The venue's notifications of each incremental book channel, in order."""

    ids: dict[str, list[int]] = field(default_factory=dict)
    messages: dict[str, dict[int, bytes]] = field(default_factory=dict)
    trades: dict[str, list[int]] = field(default_factory=dict)
    """By instrument: the numbers of the trades, ascending."""
    told: dict[str, list[Told]] = field(default_factory=dict)
    """By instrument: everything, in order."""
    end_ms: int = 0
    """Until when it is fair to ask what is missing: the run began to end then."""

    @classmethod
    def read(cls, path: Path, until_bytes: int | None = None) -> Truth:
        """Read a truth log: `time in ns`, a space, the message.

        `until_bytes`: how long the log was when the run began to end; None for all of it.
        """
        truth, at = cls(), 0
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the venue is still writing it
                stamp, _, message = line.rstrip(b"\n").partition(b" ")
                time_ms, at = int(stamp) // 1_000_000, at + len(line)
                if until_bytes is None or at <= until_bytes:
                    truth.end_ms = time_ms
                truth._take(time_ms, message)
        return truth

    def _take(self, time_ms: int, message: bytes) -> None:
        parsed = parse(message)
        if parsed is not None:
            channel, data = parsed
            self.ids.setdefault(channel, []).append(data["change_id"])
            self.messages.setdefault(channel, {})[data["change_id"]] = message
            name = channel.split(".")[1]
            self.told.setdefault(name, []).append(Told(time_ms, channel, message))
            return
        trades = trades_of(message)
        for name, number in trades:
            self.trades.setdefault(name, []).append(number)
        if trades:
            name, channel = trades[0][0], json.loads(message)["params"]["channel"]
            self.told.setdefault(name, []).append(Told(time_ms, channel, message))

    def between(self, channel: str, after: int, until: int) -> list[int]:
        """Return the ids with after < id ≤ until."""
        ids = self.ids[channel]
        return ids[bisect_right(ids, after) : bisect_right(ids, until)]

    def book(self, channel: str, change_id: int) -> PlainBook | None:
        """Return the venue's book as of a change; None if the venue never said it."""
        ids = self.ids[channel]
        end = bisect_left(ids, change_id)
        if end == len(ids) or ids[end] != change_id:
            return None
        book = PlainBook()
        for each in ids[: end + 1]:
            parsed = parse(self.messages[channel][each])
            assert parsed is not None
            book.apply(parsed[1])
        return book


@dataclass(slots=True)
class _Stretch:
    """An instrument within one session."""

    session: str = ""
    sequence: int = 0
    last: int | None = None
    """The last id of an unbroken chain; None while the session knows that it has none."""


def compare_feed(feed: Iterable[tuple[Record, Frame]], truth: Truth, report: Report) -> None:
    """Count notifications that are missing inside an unbroken stretch of a session, or are not the
    venue's."""
    stretches: dict[tuple[str, str], _Stretch] = {}
    for record, frame in feed:
        if frame.sequence and frame.channel in truth.ids:
            where = frame.instrument, frame.session
            stretch = stretches.setdefault(where, _Stretch(frame.session))
            _follow(frame, stretch, truth, report, f"feed-{record.partition}@{record.offset}")


def compare_all(feed: Iterable[tuple[Record, Frame]], truth: Truth, report: Report) -> None:
    """Count what the venue published, since a channel was first heard, and no session received."""
    heard: defaultdict[str, set[bytes]] = defaultdict(set)
    for _, frame in feed:
        heard[frame.instrument].update(frame.messages())
    for name, messages in heard.items():
        begun: set[str] = set()
        for told in truth.told.get(name, ()):
            is_heard = told.message in messages
            if told.channel in begun and told.time_ms <= truth.end_ms:
                report.count("published")
                if not is_heard:
                    report.missing += 1
                    report.name("missing", f"{told.channel} at {told.time_ms}")
            elif is_heard:
                begun.add(told.channel)


def _follow(frame: Frame, stretch: _Stretch, truth: Truth, report: Report, where: str) -> None:
    for kind, *fields in frame.items:
        if kind in {"g", "d"}:
            stretch.last = None
        elif kind == "n" and (parsed := parse(fields[1])) is not None:
            channel, data = parsed
            if channel == frame.channel:
                _notification(fields[1], data, frame, stretch, truth, report, where)


def _notification(
    message: bytes,
    data: dict[str, Any],
    frame: Frame,
    stretch: _Stretch,
    truth: Truth,
    report: Report,
    where: str,
) -> None:
    change_id, previous = data["change_id"], data.get("prev_change_id")
    if not previous:
        stretch.last = change_id
        return
    if stretch.last is None or change_id <= stretch.last:
        return
    report.count("notifications")
    if truth.messages[frame.channel].get(change_id) != message:
        return  # injected by the test: the chain decides what becomes of it
    missing = truth.between(frame.channel, stretch.last, change_id - 1)
    if missing:
        report.lost += len(missing)
        report.name("lost", f"{where}: {frame.channel} lacks {len(missing)} from {missing[0]}")
    stretch.last = change_id
