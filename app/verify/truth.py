"""The venue's own log against the feed: did everything get here, and is the final book the venue's?

Only what the feed itself says is forgiven: between a mark (gap, disconnect) and the next snapshot a
session knows that it knows nothing. Books are kept here in the plainest way, as text of decimals.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.verify.records import Record
from app.verify.report import Report
from models.frame import Disconnected, Frame, GapFound, Notification, decode_frame

Levels = dict[Decimal, Decimal]


@dataclass(slots=True)
class PlainBook:
    """Levels by price, as of a change_id."""

    change_id: int | None = None
    bids: Levels = field(default_factory=dict)
    asks: Levels = field(default_factory=dict)

    def apply(self, data: dict[str, Any]) -> None:
        """Apply the data of a notification that is known to follow, or of a snapshot."""
        if data.get("type") == "snapshot" or not data.get("prev_change_id"):
            self.bids, self.asks = {}, {}
        for levels, changes in ((self.bids, data["bids"]), (self.asks, data["asks"])):
            for action, price, amount in changes:
                if action == "delete" or not amount:
                    levels.pop(Decimal(price), None)
                else:
                    levels[Decimal(price)] = Decimal(amount)
        self.change_id = data["change_id"]

    def sides(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """Return bids and asks, best first."""
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())


def parse(message: bytes) -> tuple[str, dict[str, Any]] | None:
    """Return channel and data of an incremental book notification; None for anything else."""
    if b'"book.' not in message:
        return None
    try:
        params = json.loads(message, parse_float=Decimal)["params"]
        channel, data = params["channel"], params["data"]
        if channel.startswith("book.") and isinstance(data, dict) and "change_id" in data:
            return channel, data
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return None


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

    @classmethod
    def read(cls, path: Path) -> Truth:
        """Read a truth log: `time in ns`, a space, the message."""
        truth = cls()
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the venue is still writing it
                message = line.rstrip(b"\n").partition(b" ")[2]
                parsed = parse(message)
                if parsed is not None:
                    channel, data = parsed
                    change_id = data["change_id"]
                    truth.ids.setdefault(channel, []).append(change_id)
                    truth.messages.setdefault(channel, {})[change_id] = message
                for name, number in trades_of(message):
                    truth.trades.setdefault(name, []).append(number)
        return truth

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


def frames_of(feed: Iterable[Record]) -> Iterator[tuple[Record, Frame]]:
    """Yield each record of the feed that holds a frame, and the frame."""
    for record in feed:
        try:
            frame = decode_frame(record.value or b"")
        except ValueError:
            continue
        yield record, frame


def compare_feed(feed: Iterable[Record], truth: Truth, report: Report) -> None:
    """Count notifications that are missing inside an unbroken stretch of a session, or are not the
    venue's."""
    stretches: dict[tuple[str, str], _Stretch] = {}
    for record, frame in frames_of(feed):
        if frame.sequence and frame.channel in truth.ids:
            where = frame.instrument, frame.session
            stretch = stretches.setdefault(where, _Stretch(frame.session))
            _follow(frame, stretch, truth, report, f"feed-{record.partition}@{record.offset}")


def _follow(frame: Frame, stretch: _Stretch, truth: Truth, report: Report, where: str) -> None:
    for item in frame.items:
        if isinstance(item, GapFound | Disconnected):
            stretch.last = None
        elif isinstance(item, Notification) and (parsed := parse(item.message)) is not None:
            channel, data = parsed
            if channel == frame.channel:
                _notification(item.message, data, frame, stretch, truth, report, where)


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
