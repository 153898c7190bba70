"""The feed as the checker reads it: frames out of plain msgpack, without the program's decoder.

`models/frame.py` says what a frame is; this is another hand's reading of that text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from aiokafka.partitioner import murmur2

from app.verify.records import Record
from tests.checker.report import Report

VERSION: Final = 1
LEAST_FIELDS: Final = {"n": 3, "c": 4, "d": 3, "f": 3, "g": 5, "t": 4, "i": 2}
"""By kind of item, its tag included: how many fields it has at least."""


class Frame(NamedTuple):
    """One record of the feed; its items are lists that begin with their kind."""

    instrument: str
    channel: str
    session: str
    sequence: int
    """0 in a frame of ticks."""
    items: list[list[Any]]

    def messages(self) -> Iterator[bytes]:
        """Yield the venue's notifications, as they came."""
        for item in self.items:
            if item[0] == "n":
                yield item[2]


def decode(value: bytes | None) -> Frame | None:
    """Return the frame of a record's value; None if it is none."""
    try:
        fields = msgspec.msgpack.decode(value or b"")
    except msgspec.MsgspecError:
        return None
    if not isinstance(fields, list) or len(fields) != 6 or fields[0] != VERSION:
        return None
    frame = Frame(*fields[1:])
    for item in frame.items:
        if len(item) < LEAST_FIELDS.get(item[0], len(item) + 1):
            return None
    return frame


def frames_of(feed: Iterable[Record]) -> Iterator[tuple[Record, Frame]]:
    """Yield each record of the feed that holds a frame, and the frame."""
    for record in feed:
        frame = decode(record.value)
        if frame is not None:
            yield record, frame


def partition_of(instrument: str, partitions: int) -> int:
    """Return the partition of a key, as Kafka's own clients choose it."""
    return int((murmur2(instrument.encode()) & 0x7FFFFFFF) % partitions)


def without_strays(
    feed: Iterable[tuple[Record, Frame]], partitions: int, report: Report
) -> Iterator[tuple[Record, Frame]]:
    """Yield the frames that are in their instrument's partition; report the others.

    A worker refuses these, see agents/books.py; a producer with another partitioner writes them.
    """
    for record, frame in feed:
        if frame.sequence and partition_of(frame.instrument, partitions) != record.partition:
            report.count("stray_frames")
            where = f"feed-{record.partition}@{record.offset}"
            report.name("stray_frames", f"{where}: {frame.instrument} belongs in another partition")
        else:
            yield record, frame
