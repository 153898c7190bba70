"""The partition of an instrument: murmur2 of its name, as Kafka's own clients choose it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

NAMES_KEPT: Final = 4_096
"""Several times the perpetuals of any venue; a name that is not kept takes some microseconds."""


@lru_cache(maxsize=NAMES_KEPT)
def partition_of(instrument: str, partitions: int) -> int:
    """Return the partition of an instrument in a topic with so many."""
    from aiokafka.partitioner import murmur2  # once a name; commands start without aiokafka

    hashed: int = murmur2(instrument.encode()) & 0x7FFFFFFF
    return hashed % partitions
