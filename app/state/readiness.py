"""Readiness: whether a worker does its work, and what is degraded; for /readyz and the log.

And whether it has read, since it started, how the instruments stand: for every other answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from faust.types import TP

from app.ingest.service import Ingest
from app.state.membership import Membership
from app.state.read_model import Readiness, Serving
from app.state.written import WrittenState
from models.live import LiveState

READ_WITHIN_S: Final = 10.0
"""After its own partitions are recovered a worker reads those of others on, which takes moments; a
state that then does not come is better missing than all of them."""


SNAPSHOT_WITHIN_S: Final = 15.0
"""The venue sends all snapshots within a second; ingest asks again for 10 s."""
MAX_APART_MS: Final = 2_000
"""Two clocks that differ by more are set wrong: a record takes less to Kafka, a message to here."""


class FirstReading:
    """Notes that the table of live states has been read once since this worker started.

    Before, that an instrument is not in it says nothing.
    """

    def __init__(self, app: Membership, table: Any) -> None:
        self._app = app
        self._table = table
        self._recovered_s: float | None = None
        """When the partitions that this worker owns were first seen to be read; monotonic."""
        self._is_done = False

    @property
    def is_done(self) -> bool:
        """Return whether all partitions have been read up to where they ended."""
        app = self._app
        if self._is_done or not app.rebalancing_count or app.rebalancing or app.in_recovery:
            return self._is_done
        now_s = time.monotonic()
        if self._recovered_s is None:
            self._recovered_s = now_s
        self._is_done = not self._is_behind() or now_s - self._recovered_s > READ_WITHIN_S
        return self._is_done

    def _is_behind(self) -> bool:
        """Return whether others' partitions, for Faust standbys, have not been read to the end.

        Faust calls a recovery complete without them, and takes what it has not begun for read. The
        partitions of a global table are active ones to it, too, and what it reads of them it counts
        there only.
        """
        recovery = self._app.tables.recovery
        ends = recovery.standby_highwaters
        counts = (recovery.standby_offsets, recovery.active_offsets)
        for tp in recovery.standbys_for_table[self._table]:
            end = ends.get(tp)
            read = [count[tp] for count in counts if count.get(tp) is not None]
            if end is None or end > max(read, default=-1):
                return True
        return False


class FirstBooks:
    """Limits how long a started worker waits for the first books of its instruments.

    The venue may never send one that was asked for, or send what is refused: that is said, but does
    not keep a worker from being ready whose other instruments are.
    """

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}

    def is_over(self, missing: Iterable[str]) -> bool:
        """Return whether all that are without a book have been for longer than a snapshot takes."""
        now_s = time.monotonic()
        self._since_s = {name: self._since_s.get(name, now_s) for name in missing}
        return all(now_s - since_s > SNAPSHOT_WITHIN_S for since_s in self._since_s.values())


class WorkerReadiness:
    """Judges whether a worker does its work."""

    def __init__(
        self, read: Serving, written: WrittenState, member: Membership, ingest: Ingest | None
    ) -> None:
        self._read = read
        self._written = written
        self._member = member
        self._ingest = ingest
        """The service that holds the sockets, where this worker ingests."""
        self._first_books = FirstBooks()

    def current(self) -> Readiness:
        """Return whether the worker does its work; if not, why."""
        reasons = self._not_taken_over()
        owned = self._written.books.partitions
        statuses: dict[str, int] = {}
        for partition in owned.values():
            for state in partition.states.values():
                statuses[state.status] = statuses.get(state.status, 0) + 1
        if not reasons and not self._read.knows_states:
            reasons.append("the states of other workers' instruments are being read")
        if not reasons:
            reasons += self._missing()
        details = {
            "worker": self._read.worker,
            "partitions": sorted(owned),
            "instruments": len(self._read.states()),
            "owned": statuses,
        }
        if self._ingest is not None and self._ingest.started:
            details["connections"] = [one.status() for one in self._ingest.connections]
        return Readiness(not reasons, reasons, details, [] if reasons else self._degraded())

    def _not_taken_over(self) -> list[str]:
        """Say what of its partitions the worker does not hold yet, and why."""
        reasons: list[str] = []
        if self._member.rebalancing:
            reasons.append("partitions are being assigned")
        elif self._member.in_recovery:
            reasons.append("tables are being recovered")
        if self._member.reach.is_lost:
            reasons.append(self._member.reach.reason)
        missing = self._assigned_partitions() - self._written.books.partitions.keys()
        if missing:
            reasons.append(f"partitions {sorted(missing)} are not taken over yet")
        if not self._member.consumer_is_ready:
            reasons.append("not yet a member of the consumer group")
        return reasons

    def clock_troubles(self) -> list[str]:
        """Say which clocks differ by more than a message takes: who compares their times is wrong.

        Ages and statuses do not depend on them.
        """
        troubles = [
            f"the clock of {worker} is {_apart(ahead_ms)} Kafka's"
            for worker, ahead_ms in sorted(self._written.latest.ahead_ms().items())
            if abs(ahead_ms) > MAX_APART_MS
        ]
        venue_ms = self._written.venue_ahead_ms
        if venue_ms is not None and abs(venue_ms) > MAX_APART_MS and not self._read.simulated:
            troubles.append(f"the clock of {self._read.worker} is {_apart(venue_ms)} the venue's")
        return troubles

    def _degraded(self) -> list[str]:
        """Say what is not as it should be, although the worker does its work."""
        reasons: list[str] = []
        if self._ingest is not None:
            reasons += self._ingest.troubles()
            waiting = self._ingest.waiting()
            if waiting.oldest_s * 1_000 > self._read.stale_after_ms:
                reasons.append(
                    f"{waiting.messages} messages and {waiting.frames} frames wait for Kafka, "
                    f"the oldest for {waiting.oldest_s:.1f} s"
                )
        reasons += self._late_partitions()
        known = self._read.states()
        answers = [state for state in known.values() if state.status != "retired"]
        if answers and all(self._read.status_of(state) == "stale" for state in answers):
            reasons.append(f"all {len(answers)} instruments are answered as stale")
        if self._ingest is not None:
            missing = _without_book(self._ingest.awaited(), known)
            if missing:
                more = f" and {len(missing) - 1} others" * (len(missing) > 1)
                reasons.append(f"{missing[0]}{more} have had no snapshot yet")
        reasons += self.clock_troubles()
        reasons += self._written.neighbour_troubles
        states = self._written.owned_states()
        lost = [state for state in states if state.status != "live"]
        if lost:
            reasons.append(f"{len(lost)} of {len(states)} instruments have no live book")
        return reasons

    def _late_partitions(self) -> list[str]:
        """Say which owned partitions are behind, and of which nothing comes."""
        written, late_ms = self._written, self._read.stale_after_ms
        quiet = [n for n in written.books.partitions if written.feed_age_ms(n) > late_ms]
        behind = {n: lag for n in quiet if (lag := self._lag(n)) > 0}
        reasons: list[str] = []
        if behind:
            lag = sum(behind.values())
            reasons.append(f"partitions {sorted(behind)} are behind: {lag} frames to be processed")
        if silent := sorted(set(quiet) - behind.keys()):
            reasons.append(f"the feed of partitions {silent} is stale")
        return reasons

    def _lag(self, number: int) -> int:
        """Return how many frames of an owned partition wait, as of the last fetch."""
        books, member = self._written.books, self._member
        tp = books.input_tp(number)
        if not member.consumer_is_ready or tp not in member.consumer.assignment():
            return 0
        return (member.consumer.highwater(tp) or 0) - books.partitions[number].position

    def _missing(self) -> list[str]:
        """Say what is still without a book here or unknown to the views."""
        known, ingest = self._read.states(), self._ingest
        if ingest is not None and self._written.books.partitions:
            if not ingest.started:
                return ["ingest has not started yet"]
            if ingest.session is None and not known:
                return ["not connected to the venue yet"]
            awaited = ingest.awaited()
            missing = _without_book(awaited, known)
            if not self._first_books.is_over(missing):
                return [
                    f"{len(missing)} of {len(awaited)} instruments wait for their first snapshot"
                ]
        if known or (ingest is not None and ingest.knows_listing):
            return []  # without an instrument, if nothing that was asked for can be had
        return ["no instrument is known yet"]

    def _assigned_partitions(self) -> set[int]:
        if not self._member.consumer_is_ready:
            return set()
        assignment: set[TP] = self._member.consumer.assignment()
        return {tp.partition for tp in assignment if tp.topic == self._written.books.topic}


def _apart(ahead_ms: int) -> str:
    return f"{abs(ahead_ms) / 1_000:.1f} s {'ahead of' if ahead_ms > 0 else 'behind'}"


def _without_book(names: Iterable[str], known: Mapping[str, LiveState]) -> list[str]:
    return [name for name in names if name not in known or known[name].status == "waiting"]
