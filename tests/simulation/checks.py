"""What must hold: at each step, at each record, at each commit, and at the end.

A state record holds the state of its key exactly as of its position. What is committed is in the
changelog. Positions never go back. After the faults: states, windows and history equal those of a
processor that read the feed undisturbed, byte for byte, and each table equals its changelog.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from faust.types import TP

from agents.history import decode_closed
from app.processing.state_codec import BooksCodec
from app.state.history_chunks import Chunk, HistoryCodec, chunk_key, chunk_number, chunks_kept
from faust_exact.checkpoint import NO_STATE
from faust_exact.partition import Partition
from faust_exact.state_record import BadRecord, position_of
from orderbook.windows.span import Span
from tests.simulation.kafka import Stored
from tests.simulation.truth import Undisturbed, WindowKey, as_record, window_key

if TYPE_CHECKING:
    from tests.simulation.client import Client
    from tests.simulation.world import World


class Checks:
    """Looks at all that happens in a world, and tells it what is wrong."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.truth = [Undisturbed(world.rules) for _ in range(world.plan.partitions)]
        self.codec = BooksCodec(world.rules)
        self.count = 0
        """State records that were compared."""
        self._positions: dict[int, tuple[Partition[Any], int]] = {}
        """By identity of what is held of a partition: its position at the last step."""
        self._committed: dict[TP, tuple[int, int]] = {}
        """The generation of the last commit, and its offset."""
        self._last: dict[int, dict[bytes, bytes]] = {}
        """By partition and key: the record with the highest position that landed."""

    # At each step

    def step(self) -> None:
        """Check what each process holds: committed ≤ safe ≤ position, and none goes back."""
        for process in self.world.processes:
            if process is None or not process.is_alive:
                continue
            for keeper in process.keepers:
                for number, partition in keeper.partitions.items():
                    known = self._positions.get(id(partition))
                    if known is None or known[0] is not partition:
                        self._positions[id(partition)] = partition, partition.position
                    elif known[1] != partition.position:
                        self._moved(process, keeper.input_tp(number), partition, known[1])

    def _moved(self, process: Client, tp: TP, partition: Partition[Any], before: int) -> None:
        self._positions[id(partition)] = partition, partition.position
        if partition.position < before:
            self._wrong(f"{process.name} went back from {before} to {partition.position} of {tp}")
        if partition.safe_position > partition.position:
            self._wrong(f"{tp}: {partition.safe_position} is said to be safe, read is less")
        generation, offset = self._committed.get(tp, (-1, 0))
        if generation == process.generation and partition.safe_position < offset:
            self._wrong(f"{tp}: {offset} is committed, safe is {partition.safe_position}")

    def sent(self, process: Client, tp: TP) -> None:
        """Check that who was refused a commit writes no state any more."""
        for keeper in process.keepers:
            partition = keeper.partitions.get(tp.partition)
            if keeper.changelog_tp(tp.partition) == tp and partition and partition.is_fenced:
                self._wrong(f"{process.name} writes to {tp} although it is fenced")

    def began(self, process: Client) -> None:
        """Check each state that a process has loaded."""
        kept = process.keepers[0]
        held = {number: part.position for number, part in kept.partitions.items()}
        self.world.note(process.name, "begins at", held)
        for number, partition in kept.partitions.items():
            for key, state in partition.states.items():
                self._state(number, key, state.position, as_record(state), "loaded")

    # At each record and commit

    def landed(self, record: Stored) -> None:
        """Look at each record when the log has it."""
        if record.topic == "feed":
            self.truth[record.partition].feed(record)
            return
        if not record.topic.endswith("changelog"):
            return
        who = getattr(record.sender, "name", "nobody")
        name = (record.key or b"").decode()
        if record.value is None:
            self.world.note(record.topic, f"{record.partition} has", name, "deleted by", who)
            return
        codec: Any = self.codec if record.topic == "books-changelog" else HistoryCodec()
        try:
            position = position_of(record.value)
            state = codec.load(record.key or b"", record.value)
        except BadRecord as error:
            self._wrong(f"{record.topic} has a record of {name} that is none: {error}")
            return
        what = f"{record.partition} has {name} of position {position} at {record.offset}"
        self.world.note(record.topic, what, "by", who)
        if record.topic == "books-changelog":
            self._state(record.partition, record.key or b"", position, as_record(state), "written")

    def committed(self, process: Client, generation: int, tp: TP, offset: int) -> None:
        """Check a commit that the group takes."""
        before, last = self.world.kafka.committed.get(tp, 0), self._committed.get(tp, (-1, 0))
        self._committed[tp] = generation, offset
        if offset != before:
            back = f", back from {before}" if offset < before else ""
            self.world.note(process.name, f"commits {tp.topic} {tp.partition} at {offset}{back}")
        if last[0] == generation and offset < last[1]:
            self._wrong(f"{tp}: {offset} is committed after {last[1]} in one generation")
        if offset > self.world.kafka.logs[tp].end:
            self._wrong(f"{tp}: {offset} is committed, which is beyond its end")
        if tp.topic != "feed" or tp.partition in self.world.inexact:
            return
        truth, records = self.truth[tp.partition], self.newest(tp.partition)
        for key in truth.versions:
            due = truth.last_change(key, offset)
            if due is not None and (key not in records or position_of(records[key]) <= due):
                self._wrong(f"{key!r}: {offset} is committed, {due} is in no record")

    def _state(self, number: int, key: bytes, position: int, state: str, how: str) -> None:
        self.count += 1
        if number in self.world.inexact:
            return
        if position > self.truth[number].read:
            self._wrong(f"{key!r} {how} with position {position} beyond the feed")
        elif state != self.truth[number].as_of(key, position):
            self._wrong(f"{key!r} {how}: not the state as of position {position}")

    def newest(self, number: int) -> dict[bytes, bytes]:
        """Return what a recovery would load: of each key the record with the highest position."""
        found: dict[bytes, bytes] = {}
        for record in self.world.kafka.logs[TP("books-changelog", number)].records:
            if record.value is None or record.key is None:
                continue
            known = found.get(record.key)
            if known is None or position_of(record.value) >= position_of(known):
                found[record.key] = record.value
        return found

    # At the end

    def end(self) -> None:
        """Compare all that was written with the undisturbed run."""
        for number, truth in enumerate(self.truth):
            self._tables(number)
            self._last_wins(number)
            if number not in self.world.inexact:
                self._states(number, truth)
                self._windows(number, truth)
                self._history(number, truth)
            else:
                self._windows_of_what_is_left(number)

    def _states(self, number: int, truth: Undisturbed) -> None:
        records = self.newest(number)
        for key, state in truth.states.items():
            position = truth.versions[key][-1][0]
            if key not in records or position_of(records[key]) <= position:
                self._wrong(f"{key!r}: the last record does not include {position}")
            elif as_record(self.codec.load(key, records[key])) != as_record(state):
                self._wrong(f"{key!r}: the last record is not the undisturbed state")

    def _last_wins(self, number: int) -> None:
        """Compaction keeps the last record of a key: that one must be the newest state."""
        last = self._last_records("books-changelog", number)
        for key, newest in self.newest(number).items():
            if position_of(last.get(key) or newest) < position_of(newest):
                self._wrong(f"{key!r}: the changelog does not end with its newest record")

    def _tables(self, number: int) -> None:
        """The table of the owner holds the last record of each key, and nothing else."""
        for process in self.world.processes:
            if process is None or not process.is_alive:
                continue
            for keeper in process.keepers:
                if number not in keeper.partitions:
                    continue
                table = dict(keeper.store.records(number))
                last = self._last_records(keeper.changelog_tp(number).topic, number)
                written = {key: value for key, value in last.items() if value is not None}
                # A zombie's late record may have brought a deleted key back: docs/exactness.md.
                if any(written.get(key) != value for key, value in table.items()):
                    self._wrong(f"{keeper.table.name} {number}: not what the changelog ends with")
                if keeper.table.name == "books" and table.keys() != written.keys():
                    self._wrong(f"books {number}: the table has not the keys of the changelog")

    def _last_records(self, topic: str, number: int) -> dict[bytes, bytes | None]:
        records = self.world.kafka.logs[TP(topic, number)].records
        return {
            record.key: record.value
            for record in records
            if record.key is not None and record.key != NO_STATE
        }

    def _published(self, number: int) -> set[bytes]:
        records = self.world.kafka.logs[TP("windows", number)].records
        return {record.value or b"" for record in records}

    def _windows(self, number: int, truth: Undisturbed) -> None:
        true = set(truth.windows.values())
        published = self._published(number)
        if wrong := len(published - true):
            self._wrong(f"partition {number}: {wrong} windows were published that are not so")
        if missing := len(true - published):
            self._wrong(f"partition {number}: {missing} windows were never published")
        closed = {
            window.value
            for record in self.world.kafka.logs[TP("closed", number)].records
            for window in decode_closed(record.value or b"")
        }
        if number not in self.world.trimmed and closed != true:
            self._wrong(f"partition {number}: `closed` has not the windows that there are")

    def _windows_of_what_is_left(self, number: int) -> None:
        """Where input is gone, no window that is complete is contradicted by another."""
        complete: dict[WindowKey, bytes] = {}
        for value in sorted(self._published(number)):
            window = json.loads(value)
            if window["status"] != "complete":
                continue
            known = complete.setdefault(window_key(window), value)
            if known != value:
                self._wrong(f"partition {number}: complete twice, and not the same: {value!r}")

    def _history(self, number: int, truth: Undisturbed) -> None:
        kept = {
            (key, start): value
            for key, chunk in self._chunks(number)
            for start, value in chunk.windows.items()
        }
        places = {where: _place(where) for where in truth.windows}
        last: dict[bytes, int] = {}
        for prefix, chunk_of, _ in places.values():
            last[prefix] = max(last.get(prefix, 0), chunk_of)
        true: dict[tuple[bytes, int], bytes] = {}
        due: set[tuple[bytes, int]] = set()
        for where, value in truth.windows.items():
            prefix, chunk_of, key = places[where]
            true[key, where[3]] = value
            if chunk_of > last[prefix] - chunks_kept(self.world.plan.history):
                due.add((key, where[3]))
        if missing := due - kept.keys():
            self._wrong(f"partition {number}: the history lacks {sorted(missing)[:5]}")
        if wrong := [where for where, value in kept.items() if true.get(where) != value]:
            self._wrong(f"partition {number}: the history has {wrong[:5]}, which are not so")

    def _chunks(self, number: int) -> Iterator[tuple[bytes, Chunk]]:
        for key, value in self._last_records("history-changelog", number).items():
            if value is not None:
                yield key, HistoryCodec().load(key, value)

    def _wrong(self, why: str) -> None:
        self.world.wrong(why)


def _place(window: WindowKey) -> tuple[bytes, int, bytes]:
    """Return what all chunks of a window's kind begin with, the number of its own, and its key."""
    name, length_ms, hop_ms, start_ms = window
    span = Span(length_ms, hop_ms or length_ms)
    number = chunk_number(name, start_ms, span)
    return chunk_key(name, span, 0)[:-1], number, chunk_key(name, span, number)
