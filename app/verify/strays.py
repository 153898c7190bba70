"""Frames in a partition that is not their instrument's: a worker refuses them, and so do we.

A producer with a partitioner other than Kafka's own would write them, see agents/books.py.
"""

from __future__ import annotations

from app.topics.partitioner import partition_of
from models.frame import Frame


def is_stray(frame: Frame, partition: int, partitions: int) -> bool:
    """Return whether a frame is in the wrong partition; those of ticks never are."""
    return bool(frame.sequence) and partition_of(frame.instrument, partitions) != partition
