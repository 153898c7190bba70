"""The records of one topic that were fetched together reach their agent as one Faust event.

Faust's cost is per event: the race of four tasks that hands it over, the sensors, and a turn of the
loop that its stream waits before each. One by one, records took a quarter of the time of a worker
on 131 instruments, which could not catch up: all else in the loop had its turn between two of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from faust_exact.time_slice import Turn


class Keyed(Protocol):
    """What somebody appends, or reads."""

    @property
    def key(self) -> bytes | None:
        """Return the key."""

    @property
    def value(self) -> bytes | None:
        """Return the value."""


class Record(Keyed, Protocol):
    """One record of Kafka, as the client gives it."""

    @property
    def topic(self) -> str:
        """Return the topic."""

    @property
    def partition(self) -> int:
        """Return the partition."""

    @property
    def offset(self) -> int:
        """Return the place in the partition."""


class Delivery:
    """The value of a Faust event: records of one topic, those of each partition in their order.

    `may_go_on`: whether the partitions are still those of the fetch. If not, what is left is not
    lost: the consumer seeks to what was processed.
    """

    __slots__ = ("_may_go_on", "_on_done", "records")

    def __init__(
        self,
        records: Sequence[Record],
        may_go_on: Callable[[], bool],
        on_done: Callable[[Delivery], object],
    ) -> None:
        self.records = records
        self._may_go_on = may_go_on
        self._on_done = on_done

    async def __aiter__(self) -> AsyncIterator[Record]:
        """Iterate over the records; others have a turn in between, so that the loop is not held."""
        turn = Turn()
        try:
            for record in self.records:
                if not self._may_go_on():
                    return
                yield record
                if turn.is_over:
                    await turn.pause()
        finally:
            self._on_done(self)
