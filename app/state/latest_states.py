"""The latest states of all instruments: the global table `latest`, each record decoded once.

The table has one value per partition, the states of all its instruments; it is written by whoever
reads the partition of `live`, and reaches the other workers by its changelog. That is read anew
from its beginning in each recovery: what is known is kept until the recovery has come to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from app.state.record_ages import RecordAges
from models.live import LiveRecord, LiveState, decode_live, encode_live


class LatestStates:
    """The table, and its values as records."""

    def __init__(self, table: Any, is_recovering: Callable[[], bool]) -> None:
        self.table = table
        self._is_recovering = is_recovering
        self._decoded: dict[bytes, tuple[bytes, LiveRecord]] = {}
        """By key: the value that was decoded last, and what it says."""
        self._sent: dict[bytes, tuple[bytes, LiveRecord]] = {}
        """By key: the value that was sent last and has not come back yet, and what it says."""
        self.clocks = RecordAges()
        self._merged: tuple[list[LiveRecord], dict[str, LiveState]] = [], {}
        """What `states` returned last, and what it was made of."""

    def encode(self, record: LiveRecord) -> bytes:
        """Return the value of a record that is sent now; here it will not have to be decoded."""
        value = encode_live(record)
        self._sent[key_of(record.partition)] = value, record
        return value

    def decode(self, key: bytes, value: bytes) -> LiveRecord:
        """Return the record of a value that was read; raise ValueError if it is none."""
        sent = self._sent.pop(key, None)
        return sent[1] if sent is not None and sent[0] == value else decode_live(value)

    def take(self, key: bytes, record: LiveRecord, appended_ms: int) -> None:
        """Write what is known of a partition after a record of what changed in it.

        Kafka has appended it at `appended_ms`, by its own clock: with that it is passed on.

        Around a take-over records are missed, and what is known is older than they were. What this
        record does not name may then have changed: it is not live until a whole record comes.
        """
        before = self._record(key)
        record.appended_ms = appended_ms
        self.clocks.see(record, before)
        if before is not None and not record.whole:
            states = before.states
            if (before.worker, before.published_ms) != (record.worker, record.after_ms):
                states = {name: _unsure(state) for name, state in states.items()}
            record.states = states | record.states
        value = encode_live(record)
        self._decoded[key] = value, record
        self.table[key] = value

    def states(self) -> dict[str, LiveState]:
        """Return the last known state of every instrument, wherever it is owned: to be read only.

        It is the same object as long as nothing has changed.
        """
        records = list(self._records())
        if records != self._merged[0]:
            states: dict[str, LiveState] = {}
            for record in records:
                states |= record.states
            self._merged = records, dict(sorted(states.items()))
        return self._merged[1]

    def heard_age_ms(self, partition: int) -> int | None:
        """Return the time since a partition's feed said anything; None: nothing is known of it."""
        record = self._record(key_of(partition))
        age_ms = None if record is None else self.clocks.age_ms(record)
        if record is None or age_ms is None:
            return None
        return age_ms + max(0, record.published_ms - record.heard_ms)

    def age_ms(self, state: LiveState) -> int | None:
        """Return the time since the venue was last heard about an instrument; None if it never was.

        It is never less than that of its partition: what the clock of a worker that was before said
        may be ahead.
        """
        record = self._record(key_of(state.partition))
        age_ms = None if record is None else self.clocks.age_ms(record)
        if record is None or age_ms is None or not state.received_ms:
            return None
        return age_ms + max(record.published_ms - min(state.received_ms, record.heard_ms), 0)

    def ahead_ms(self) -> dict[str, int]:
        """Return by how much the clock of each worker that owns partitions is ahead of Kafka's."""
        records = ((record, self.clocks.ahead_ms(record.secret)) for record in self._records())
        return {record.worker: ahead for record, ahead in records if ahead is not None}

    def others(self, secret: str, within_ms: int) -> list[tuple[str, str, str]]:
        """Return secret, name and address of each other process that wrote of late."""
        return sorted(
            {
                (record.secret, record.worker, record.url)
                for record in self._records()
                if record.url and record.secret != secret and self._is_younger(record, within_ms)
            }
        )

    def _is_younger(self, record: LiveRecord, than_ms: int) -> bool:
        age_ms = self.clocks.age_ms(record)
        return age_ms is not None and age_ms < than_ms

    def secret(self, partition: int) -> str:
        """Return the secret of the process that owned a partition last; "" if none is known."""
        record = self._record(key_of(partition))
        return "" if record is None else record.secret

    def _records(self) -> Iterator[LiveRecord]:
        for key in set(self.table) | self._decoded.keys():
            record = self._record(key)
            if record is not None:
                yield record

    def _record(self, key: bytes) -> LiveRecord | None:
        known = self._decoded.get(key)
        if known is not None and self._is_recovering():
            return known[1]
        value = self.table.get(key)
        if value is None:
            return None
        if known is None or known[0] is not value:
            record = decode_live(value)
            self.clocks.see(record, None if known is None else known[1])
            known = self._decoded[key] = value, record
        return known[1]


def _unsure(state: LiveState) -> LiveState:
    if state.status != "live":
        return state
    return msgspec.structs.replace(state, status="recovering")


def key_of(partition: int) -> bytes:
    """Return the key of a partition in `live` and in the table."""
    return str(partition).encode()
