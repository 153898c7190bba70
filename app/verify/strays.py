"""Frames in a partition that is not their instrument's: a worker refuses them, and so do we.

A producer with a partitioner other than Kafka's own would write them, see agents/books.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.topics.partitioner import partition_of
from app.verify.records import Record
from app.verify.report import Report
from models.frame import Frame, decode_frame


def is_stray(frame: Frame, partition: int, partitions: int) -> bool:
    """Whether a frame of one of so many partitions belongs in another; those of ticks never do."""
    return bool(frame.sequence) and partition_of(frame.instrument, partitions) != partition


def without_strays(feed: Iterable[Record], partitions: int, report: Report) -> list[Record]:
    """Return the feed with strays as empty records, which keep their offsets; they are reported."""
    kept = []
    for record in feed:
        try:
            frame = decode_frame(record.value or b"")
        except ValueError:
            kept.append(record)
            continue
        if is_stray(frame, record.partition, partitions):
            report.count("stray_frames")
            where = f"feed-{record.partition}@{record.offset}"
            report.name("stray_frames", f"{where}: {frame.instrument} belongs in another partition")
            record = record._replace(value=None)
        kept.append(record)
    return kept
