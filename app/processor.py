"""From frames to windows: the one path that live data, replays and recordings all take.

A processor holds the state of one instrument. It is told frames in the order of the feed and
answers what they lead to. It does no I/O and reads no clock, so the same feed gives the same bytes.

Continuity is checked here, after Kafka: frames by their number within the session, changes by
their chain. What does not follow never advances the book.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from deribit.messages import Ignored, Unreadable, decode, is_linear
from models.frame import (
    Connected,
    Disconnected,
    Frame,
    GapFound,
    Item,
    Notification,
    Tick,
    connection_of,
)
from orderbook.book import Crossed, Duplicate, Gap
from orderbook.events import Change, Ticker
from orderbook.instrument import Instrument, Refused, Status

SESSIONS_REMEMBERED: Final = 8
"""Sessions that ended are remembered, so that a late frame of one can't take over again."""


SNAPSHOT_PATIENCE_MS: Final = 15_000
"""Venue time after which a book without a snapshot asks for one again; ingest tries for 10 s."""
RETIRING_REASONS: Final = frozenset({"unsubscribed", "delisted"})


@dataclass(frozen=True, slots=True)
class Rules:
    """What the windows depend on besides the feed; part of the state's identity."""

    lengths_ms: tuple[int, ...]
    grace_ms: int
    stale_after_ms: int


@dataclass(slots=True)
class Outcome:
    """What a frame led to."""

    windows: list[dict[str, Any]] = field(default_factory=list)
    refused: list[tuple[int, str, bytes]] = field(default_factory=list)
    """Place in the frame, reason, and the message."""
    needs_resync: bool = False


class Processor:
    """The state of one instrument as of a position in the feed."""

    def __init__(self, name: str, rules: Rules) -> None:
        self.name = name
        self.rules = rules
        self.instrument = self._new_instrument()
        self.session = ""
        self.sequence = 0
        self.ended: list[str] = []
        self.worker = ""
        self.is_simulated = False
        self.received_ns = 0
        self.position = 0
        """Offset of the next record of the feed; what is before it is included."""
        self.end_reason = ""
        """Why the session ended for this instrument; empty while it goes on."""
        self.asked_ms = 0
        """Venue time at which a snapshot was last asked for because none had come."""
        self.counts: Counter[str] = Counter()

    def feed(self, frame: Frame) -> Outcome:
        """Take the next frame of the instrument, or a frame of ticks for all of them."""
        outcome = Outcome()
        if frame.sequence == 0:
            if frame.session == connection_of(self.session):
                self._take(frame.items, outcome)
            return outcome
        if frame.session != self.session:
            if frame.session in self.ended:
                self.counts["frames_of_ended_sessions"] += 1
                return outcome
            self._begin(frame)
        if frame.sequence <= self.sequence:
            self.counts["duplicate_frames"] += 1
            return outcome
        if frame.sequence != self.sequence + 1:
            self.counts["lost_frames"] += frame.sequence - self.sequence - 1
            self.instrument.lose()
            outcome.needs_resync = True
        self.sequence = frame.sequence
        self._take(frame.items, outcome)
        if self.instrument.is_live:
            outcome.needs_resync = False
        return outcome

    def _begin(self, frame: Frame) -> None:
        if self.session:
            self.ended = [*self.ended, self.session][-SESSIONS_REMEMBERED:]
        self.session = frame.session
        self.sequence = 0
        known = self.instrument.channel
        if known and frame.channel and frame.channel != known:
            # Windows of different channels are not comparable: those of the old one end here.
            self.instrument = self._new_instrument()
        self.instrument.channel = frame.channel or known
        self.instrument.connect()

    def _new_instrument(self) -> Instrument:
        return Instrument(
            self.name,
            linear=is_linear(self.name),
            lengths_ms=self.rules.lengths_ms,
            grace_ms=self.rules.grace_ms,
        )

    def _take(self, items: Sequence[Item], outcome: Outcome) -> None:
        instrument = self.instrument
        for place, item in enumerate(items):
            if type(item) is Notification:
                self.received_ns = item.received_ns
                instrument.hear(item.received_ns)
                try:
                    self._notification(item.message, outcome)
                except (Unreadable, Refused) as error:
                    self.counts["refused"] += 1
                    outcome.refused.append((place, str(error), item.message))
            elif type(item) is Tick:
                outcome.windows += instrument.tick(
                    item.venue_ms, item.quiet_ms, self.rules.stale_after_ms
                )
                outcome.needs_resync |= self._has_waited_too_long(item.venue_ms)
            elif type(item) is Connected:
                self.worker = item.worker
                self.is_simulated = item.simulated
                self.end_reason = ""
            elif type(item) is Disconnected:
                self.counts["disconnects"] += 1
                self.end_reason = item.reason
                instrument.disconnect()
            elif type(item) is GapFound and item.channel == instrument.channel:
                self.counts["gaps_at_ingest"] += 1
                instrument.lose()

    def _has_waited_too_long(self, venue_ms: int) -> bool:
        """Whether a snapshot must be asked for (again): the one that was due may be refused."""
        if self.instrument.is_live or self.end_reason:
            self.asked_ms = 0
            return False
        if self.asked_ms == 0:
            self.asked_ms = venue_ms
        if venue_ms - self.asked_ms < SNAPSHOT_PATIENCE_MS:
            return False
        self.asked_ms = venue_ms
        return True

    @property
    def is_retired(self) -> bool:
        """Whether the instrument is not ingested any more, by somebody's will."""
        return self.end_reason in RETIRING_REASONS

    def _notification(self, message: bytes, outcome: Outcome) -> None:
        decoded = decode(message, self.name)
        if decoded is None:
            raise Unreadable("not a notification of a subscription")
        channel, event = decoded
        instrument = self.instrument
        if type(event) is Change:
            if not instrument.channel:
                instrument.channel = channel
            if channel != instrument.channel:
                self.counts["other_book_channels"] += 1
                return
            windows, problem = instrument.change(event)
            outcome.windows += windows
            match problem:
                case None:
                    self.counts["changes"] += 1
                case Duplicate():
                    self.counts["duplicate_changes"] += 1
                case Gap():
                    self.counts["gaps"] += 1
                    outcome.needs_resync = True
                case Crossed():
                    self.counts["crossed"] += 1
                    outcome.needs_resync = True
        elif type(event) is Ticker:
            instrument.see_ticker(event)
        elif type(event) is Ignored:
            self.counts["ignored"] += 1
        elif type(event) is list:
            instrument.trades(event)

    @property
    def status(self) -> str:
        """The word that an answer about this instrument carries, from what the feed says."""
        instrument = self.instrument
        if instrument.status is Status.WAITING:
            return "waiting"
        if instrument.status is Status.GAP:
            return "gap"
        if instrument.status is Status.RECONNECT:
            return "resyncing"
        return "stale" if instrument.is_stale else "live"

    def to_record(self) -> list[Any]:
        """Return everything that the future depends on, as plain lists and numbers."""
        return [
            self.session,
            self.sequence,
            self.ended,
            self.worker,
            self.is_simulated,
            self.received_ns,
            self.end_reason,
            self.asked_ms,
            dict(self.counts),
            self.instrument.to_record(),
        ]

    def restore(self, record: list[Any]) -> None:
        """Take the state of a record; raise ValueError if it breaks an invariant."""
        (
            self.session,
            self.sequence,
            self.ended,
            self.worker,
            self.is_simulated,
            self.received_ns,
            self.end_reason,
            self.asked_ms,
            counts,
            instrument,
        ) = record
        self.counts = Counter(counts)
        self.instrument.restore(instrument)
