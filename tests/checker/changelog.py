"""What a recovery would load: of each key of the changelog the record with the highest position."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.processing.processor import Processor, Rules
from app.processing.state_codec import BooksCodec
from app.verify.records import Record
from app.verify.report import Report
from faust_exact.state_record import BadRecord, position_of
from tests.checker.canonical import canonical, differences, digest
from tests.checker.oracle import Oracle, Wanted

Key = tuple[int, bytes]


@dataclass(slots=True)
class Recovered:
    """The records that a recovery would load."""

    records: dict[Key, bytes] = field(default_factory=dict)
    unreadable: int = 0
    overtaken: set[Key] = field(default_factory=set)
    """Keys whose last record in the log is older than another: compaction would keep the wrong
    one. A worker repairs them when it notices."""

    def take(self, changelog: Iterable[Record]) -> None:
        """Read a changelog as a recovery does."""
        for record in changelog:
            key = record.partition, record.key
            if record.value is None:
                self.records.pop(key, None)
                self.overtaken.discard(key)
                continue
            try:
                position = position_of(record.value)
            except BadRecord:
                self.unreadable += 1
                continue
            known = self.records.get(key)
            if known is not None and position < position_of(known):
                self.overtaken.add(key)
            else:
                self.records[key] = record.value
                self.overtaken.discard(key)

    def states(self, rules: Rules, report: Report) -> dict[Wanted, Processor]:
        """Return the states of the records, by what they claim to be."""
        codec = BooksCodec(rules)
        states: dict[Wanted, Processor] = {}
        for (partition, key), record in self.records.items():
            try:
                state = codec.load(key, record)
            except BadRecord as error:
                report.hash_equal = False
                report.name("hash_equal", f"{key.decode()}: {error}")
                continue
            states[Wanted(partition, state.position, state.name)] = state
        return states


def compare_states(
    states: dict[Wanted, Processor], oracle: Oracle, committed: dict[int, int], report: Report
) -> None:
    """Compare recovered states with the oracle's as of the same positions.

    What is committed is not read again: a state must include all of it that is its own.
    """
    for wanted, state in states.items():
        report.count("states")
        offsets = oracle.touched.get((wanted.partition, wanted.instrument), [])
        end = bisect_left(offsets, committed.get(wanted.partition, 0))
        missing = max(0, end - bisect_left(offsets, wanted.position))
        if missing:
            report.lost += missing
            report.name("lost", f"{wanted.instrument}: {missing} frames are committed, not stored")
        expected = oracle.states.get(wanted)
        found = canonical(state)
        if expected is not None and digest(found) == digest(expected):
            continue
        report.hash_equal = False
        why = differences(found, expected) if expected else "the feed has no such state"
        report.name("hash_equal", f"{wanted.instrument} at position {wanted.position}: {why}")
    for partition, name in oracle.processors:
        if not any(each.partition == partition and each.instrument == name for each in states):
            report.hash_equal = False
            report.name("hash_equal", f"{name}: no state in the changelog")
