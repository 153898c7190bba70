"""Ages of other workers' records, whatever their clocks say, and whatever this one's says.

Kafka stamps each record as it appends it. The newest stamp that has come, and this process's
monotonic time since, are a clock that nobody here sets: it is late by what a record takes from
Kafka to here, and never ahead. Beside it stands what each process wrote as the time of its own
clock: by how much that one is ahead.

What a start reads from the changelog of `latest`, or from a backlog of `live`, was appended long
before it came. So nothing is said of ages until two records of one partition and process have come
as far apart as Kafka appended them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from models.live import LiveRecord

FORGET_AFTER_S: Final = 300.0
"""What a clock is ahead is the most of the last five to ten minutes: a record that waited for Kafka
seems to come from a clock that is behind, and clocks drift."""
JUMP_MS: Final = 1_000
"""A stamp so far ahead of what was taken for Kafka's time: its clock was set, or this is the first
new record after old ones."""
MAX_PROCESSES: Final = 100
PROBE_MS: Final = 200
"""Records that come further apart than this tell whether they come as they are written."""


class _Ahead:
    """The most that a process's clock was seen ahead of Kafka's, ms."""

    __slots__ = ("_before", "_now", "_since_s")

    def __init__(self, ahead_ms: int, now_s: float) -> None:
        self._now = self._before = ahead_ms
        self._since_s = now_s

    def see(self, ahead_ms: int, now_s: float) -> None:
        if now_s - self._since_s > FORGET_AFTER_S:
            self._before, self._now, self._since_s = self._now, ahead_ms, now_s
        self._now = max(self._now, ahead_ms)

    @property
    def ms(self) -> int:
        return max(self._now, self._before)


class RecordAges:
    """Kafka's clock, and those of the processes whose live records have come."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kafka_ahead_ms: float | None = None
        """How far Kafka's clock is ahead of this process's monotonic one."""
        self._processes: OrderedDict[str, _Ahead] = OrderedDict()
        self.is_known = False
        """Whether the newest stamp that has come is one of now."""
        self._probes: dict[int, tuple[str, int, float]] = {}
        """By partition: process, stamp, and when it came, in monotonic ms."""

    def see(self, record: LiveRecord, before: LiveRecord | None = None) -> None:
        """Learn of a record that has come; `before` is the one that was known of its partition."""
        if not record.appended_ms:
            return
        now_s = self._now()
        ahead_ms = record.appended_ms - now_s * 1_000
        if not self.is_known:
            self._probe(record, now_s * 1_000)
        if self._kafka_ahead_ms is None or ahead_ms > self._kafka_ahead_ms:
            if self._kafka_ahead_ms is not None and ahead_ms - self._kafka_ahead_ms > JUMP_MS:
                self._processes.clear()  # what they were ahead of is not known any more
            self._kafka_ahead_ms = ahead_ms
        follows = before is not None and (
            (before.secret, before.published_ms) == (record.secret, record.after_ms)
        )
        if follows and before is not None and record.appended_ms < before.appended_ms:
            self._kafka_ahead_ms = ahead_ms  # Kafka's clock was set back
        known = self._processes.get(record.secret)
        process_ms = record.published_ms - record.appended_ms
        if known is None or (follows and record.published_ms < record.after_ms):
            self._processes[record.secret] = _Ahead(process_ms, now_s)  # new, or was set back
            if len(self._processes) > MAX_PROCESSES:
                self._processes.popitem(last=False)
        else:
            known.see(process_ms, now_s)

    def _probe(self, record: LiveRecord, now_ms: float) -> None:
        """Find out whether records come as they are appended, or from a backlog."""
        secret, appended_ms, came_ms = self._probes.get(record.partition, ("", 0, 0.0))
        waited_ms, between_ms = now_ms - came_ms, record.appended_ms - appended_ms
        if secret != record.secret or between_ms > 2 * waited_ms + PROBE_MS:
            self._probes[record.partition] = record.secret, record.appended_ms, now_ms
        elif between_ms > 0 and waited_ms >= PROBE_MS:
            self.is_known = True
            self._probes.clear()

    def age_ms(self, record: LiveRecord) -> int | None:
        """Return the time since a record was written, which is at least that since it was appended.

        None while this process does not know Kafka's time. A record of a release that did not say
        when Kafka appended it is as old as can be.
        """
        if not record.appended_ms:
            return record.published_ms
        if self._kafka_ahead_ms is None or not self.is_known:
            return None
        kafka_ms = self._kafka_ahead_ms + self._now() * 1_000
        known = self._processes.get(record.secret)
        ahead_ms = record.published_ms - record.appended_ms if known is None else known.ms
        return max(0, round(kafka_ms - (record.published_ms - ahead_ms)))

    def ahead_ms(self, secret: str) -> int | None:
        """Return by how much a process's clock is ahead of Kafka's; below 0 it is behind.

        None if nothing of it has come.
        """
        known = self._processes.get(secret)
        return None if known is None else known.ms
