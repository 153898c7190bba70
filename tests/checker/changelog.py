"""What a recovery would load: of each key of the changelog the record with the highest position."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from app.processing.processor import Processor, Rules
from app.processing.state_codec import BooksCodec
from app.verify.records import Record
from faust_exact.state_record import BadRecord, position_of
from tests.checker.canonical import canonical, differences, digest
from tests.checker.oracle import Answer, Task
from tests.checker.report import Report

Key = tuple[int, bytes]


class Claim(NamedTuple):
    """What a state claims to be: this instrument as of this position of its partition."""

    partition: int
    position: int
    instrument: str


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

    def states(self, rules: Rules, report: Report) -> dict[Claim, Processor]:
        """Return the states of the records, by what they claim to be.

        The program loads them: that is what is looked at.
        """
        codec = BooksCodec(rules)
        states: dict[Claim, Processor] = {}
        for (partition, key), record in self.records.items():
            try:
                state = codec.load(key, record)
            except BadRecord as error:
                report.hash_equal = False
                report.name("hash_equal", f"{key.decode()}: {error}")
                continue
            states[Claim(partition, state.position, state.name)] = state
        return states


def compare_states(
    states: Mapping[Claim, Processor],
    tasks: Mapping[tuple[int, str], Task],
    answers: Mapping[tuple[int, str], Answer],
    committed: Mapping[int, int],
    report: Report,
) -> None:
    """Compare recovered states with the oracle's as of the same positions.

    What is committed is not read again: a state must include all of it that is its own.
    """
    for claim, state in states.items():
        report.count("states")
        key = claim.partition, claim.instrument
        if key not in tasks:
            report.hash_equal = False
            report.name("hash_equal", f"{claim.instrument}: the feed has no such instrument")
            continue
        offsets = [offset for offset, frame in tasks[key].frames if frame.sequence]
        end = bisect_left(offsets, committed.get(claim.partition, 0))
        missing = max(0, end - bisect_left(offsets, claim.position))
        if missing:
            report.lost += missing
            report.name("lost", f"{claim.instrument}: {missing} frames are committed, not stored")
        found, expected = canonical(state), answers[key].states[claim.position]
        if digest(found) != digest(expected):
            report.hash_equal = False
            why = differences(found, expected)
            report.name("hash_equal", f"{claim.instrument} at position {claim.position}: {why}")
    known = {(claim.partition, claim.instrument) for claim in states}
    for _, name in tasks.keys() - known:
        report.hash_equal = False
        report.name("hash_equal", f"{name}: no state in the changelog")
