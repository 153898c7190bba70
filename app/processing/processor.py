"""From frames to windows: the one path that live data, replays and recordings all take.

A processor holds the state of one instrument. It is told frames in the order of the feed and
answers what they lead to. It does no I/O and reads no clock, so the same feed gives the same bytes.

Continuity is checked here, after Kafka: frames by their number within the session, changes by
their chain. What does not follow never advances the book; what the venue's own quotes contradict
for long (quote_audit.py) is given up; what has gone silent (staleness.py) is stale.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from app.processing.market_status import MarketStatus
from app.processing.quote_audit import QuoteAudit
from app.processing.staleness import StalenessDetector
from app.processing.window_config import Retirement, Rules
from deribit.decode_books_trades import Ignored, Unreadable, decode
from deribit.decode_quotes_states import Figures, Quote, Statement
from deribit.served_instruments import is_linear, why_not_served
from models.frame import (
    Connected,
    Described,
    Disconnected,
    Frame,
    GapFound,
    Item,
    Notification,
    Tick,
    TradesFollowed,
    connection_of,
)
from models.status import FeedStatus
from orderbook.book.book import Crossed, Duplicate
from orderbook.events import Change
from orderbook.instrument import Instrument, Refused, Status

__all__ = ["Outcome", "Processor", "Rules"]

SESSIONS_REMEMBERED: Final = 8
"""Sessions that ended are remembered, so that a late frame of one can't take over again."""

SNAPSHOT_PATIENCE_MS: Final = 15_000
"""Venue time after which a book without a snapshot asks for one again; ingest tries for 10 s."""
RETIRING_REASONS: Final = frozenset({"unsubscribed", "delisted"})


class Outcome:
    """The outcome of one frame. No dataclass: compiled, those are made six times as slowly."""

    __slots__ = ("is_of_ended", "needs_resync", "refused", "windows")

    def __init__(self) -> None:
        self.windows: list[dict[str, Any]] = []
        self.refused: list[tuple[int, str, bytes]] = []
        """Place in the frame, reason, and the message."""
        self.needs_resync = False
        self.is_of_ended = False
        """Whether it was of a session that another has replaced: nothing was taken of it."""


class Processor:
    """The state of one instrument as of a position in the feed."""

    def __init__(self, name: str, rules: Rules) -> None:
        self.name = name
        self.rules = rules
        self.market_status = MarketStatus()
        self.is_served = False
        """Whether the unit of its sizes is known; nothing is computed of what is not served."""
        self.audit = QuoteAudit()
        self.staleness = StalenessDetector()
        self.instrument = self._new_instrument()
        self.session = ""
        self.sequence = 0
        self.ended: list[str] = []
        self.worker = ""
        self.is_simulated = False
        self.received_ns = 0
        self.position = 0
        """Offset of the next record of the feed; what is before it is included."""
        self.inexact_until = 0
        """Windows that close below this offset were computed from a feed with a hole."""
        self.end_reason = ""
        """Why the session ended for this instrument; empty while it goes on."""
        self.asked_ms = 0
        """Venue time at which a snapshot was last asked for because none had come."""
        self.retirement = Retirement(rules)
        self.is_silent = False
        """Whether nothing has come for longer than this instrument's quiet explains."""
        self._counts: Counter[str] = Counter()
        self._changes = 0
        """Changes that are not among them yet: adding to a Counter takes 2 % of the hot path."""

    def feed(self, frame: Frame) -> Outcome:
        """Take the next frame of the instrument, or a frame of ticks for all of them."""
        outcome = Outcome()
        session, sequence = frame.session, frame.sequence  # a field of a frame is slow to read
        if sequence == 0:
            if session == connection_of(self.session):
                self._take(frame.items, outcome)
            return outcome
        if session != self.session:
            if session in self.ended:
                self._counts["frames_of_ended_sessions"] += 1
                outcome.is_of_ended = True
                return outcome
            self._begin(frame)
        if sequence <= self.sequence:
            self._counts["duplicate_frames"] += 1
            return outcome
        if sequence != self.sequence + 1:
            self._counts["lost_frames"] += sequence - self.sequence - 1
            self._lose()
            outcome.needs_resync = True
        self.sequence = sequence
        self._take(frame.items, outcome)
        if self.instrument.is_live or not self.is_served:
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
            self._begin_anew()
        self.instrument.channel = frame.channel or known
        self.instrument.connect()
        self.audit.interrupt()
        self.staleness.connect()
        self.is_silent = False
        self.market_status.connect()

    def _follow_venue(self, venue: str) -> None:
        """Note where the session leads; windows of another venue are others: begin them anew."""
        known = self.instrument.venue
        if known and venue != known:
            self._begin_anew()
        self.instrument.venue = venue

    def _begin_anew(self) -> None:
        """Let the windows begin anew: what follows is not comparable with what was."""
        channel = self.instrument.channel
        self.instrument = self._new_instrument()
        self.instrument.channel = channel
        self.audit.interrupt()

    def _new_instrument(self) -> Instrument:
        linear = is_linear(self.name, self.market_status.linear)
        self.is_served = linear is not None
        return Instrument(
            self.name,
            linear=linear is True,
            spans=self.rules.spans,
            grace_ms=self.rules.grace_ms,
        )

    def _take(self, items: list[Item], outcome: Outcome) -> None:
        for place, item in enumerate(items):
            if type(item) is Notification:
                self.received_ns = received_ns = item.received_ns
                if not self.is_served:
                    self._refuse_unserved(place, item.message, outcome)
                    continue
                self.instrument.hear(received_ns)
                self.staleness.hear()
                try:
                    self._notification(item.message, outcome)
                except (Unreadable, Refused) as error:
                    self._counts["refused"] += 1
                    outcome.refused.append((place, str(error), item.message))
            elif type(item) is Tick:
                self._tick(item, outcome)
            else:
                self._mark(item, outcome)

    def _refuse_unserved(self, place: int, message: bytes, outcome: Outcome) -> None:
        """Refuse a message of an instrument that is not served: say so once, and count them."""
        if not self._counts["unserved"]:
            outcome.refused.append((place, why_not_served(self.name), message))
        self._counts["unserved"] += 1

    def _tick(self, tick: Tick, outcome: Outcome) -> None:
        if self.retirement.is_over(self.instrument.clock_ms):
            return
        was_silent, self.is_silent = self.is_silent, self.staleness.tick(tick.venue_ms)
        self._counts["silences"] += self.is_silent and not was_silent
        stale_after_ms = self.rules.stale_after_ms
        quiet_ms = max(tick.quiet_ms, stale_after_ms + 1) if self.is_silent else tick.quiet_ms
        windows = self.instrument.tick(tick.venue_ms, quiet_ms, stale_after_ms)
        outcome.windows += self.retirement.published(windows)
        outcome.needs_resync |= self._has_waited_too_long(tick.venue_ms)

    def _mark(self, item: Item, outcome: Outcome) -> None:
        match item:
            case Connected():
                self.worker = item.worker
                self.is_simulated = item.simulated
                self._follow_venue(item.venue or ("simulated" if item.simulated else ""))
                self.end_reason = ""
                self._note_retirement()
            case Disconnected():
                self._counts["disconnects"] += 1
                self.end_reason = item.reason
                self.instrument.disconnect()
                self.audit.interrupt()
                self._note_retirement()
            case TradesFollowed():
                self.instrument.follow_trades(item.is_followed)
            case GapFound() if item.channel == self.instrument.channel:
                self._counts["gaps_at_ingest"] += 1
                self._lose()
            case Described():
                self._describe(item, outcome)

    def _describe(self, described: Described, outcome: Outcome) -> None:
        """Take the venue's description; begin anew if sizes are in another unit than was thought.

        The unit is known by the name, if it is, until the venue says it: its list and the first
        snapshot arrive in any order.
        """
        try:
            self.market_status.describe(described)
        except ValueError as error:
            self._counts["refused"] += 1
            outcome.refused.append((0, f"description: {error}", b""))
            return
        linear = is_linear(self.name, self.market_status.linear)
        if linear is not None and (linear != self.instrument.linear or not self.is_served):
            venue, was_served = self.instrument.venue, self.is_served
            self._begin_anew()
            self.instrument.venue = venue
            self._note_retirement()
            outcome.needs_resync = was_served or self._counts["unserved"] > 0

    def miss(self, end: int) -> None:
        """Note that frames of the feed are gone: what was in them is not known, so the book is not.

        What is computed from here on differs from what may have been published before of the same
        feed up to `end`: no window of that is complete.
        """
        self._lose()
        self.inexact_until = end
        self.asked_ms = 1  # a snapshot is asked for with the next tick

    def _lose(self) -> None:
        self.instrument.lose()
        self.audit.interrupt()

    def _has_waited_too_long(self, venue_ms: int) -> bool:
        """Return whether a snapshot must be asked for, again if the last one was refused."""
        if self.instrument.is_live or self.end_reason or self.is_retired:
            self.asked_ms = 0
            return False
        if self.asked_ms == 0:
            self.asked_ms = venue_ms
        if venue_ms - self.asked_ms < SNAPSHOT_PATIENCE_MS:
            return False
        self.asked_ms = venue_ms
        return True

    @property
    def counts(self) -> Counter[str]:
        """Return what became of frames and messages, by the names that answers use."""
        if self._changes:
            self._counts["changes"] += self._changes
            self._changes = 0
        return self._counts

    @counts.setter
    def counts(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._changes = 0

    @property
    def is_retired(self) -> bool:
        """Return whether there are no numbers: not served, unsubscribed, or ended."""
        return (
            not self.is_served or self.end_reason in RETIRING_REASONS or self.market_status.is_gone
        )

    def _note_retirement(self) -> None:
        if self.is_retired and not self.retirement.is_retired:
            self.instrument.forget()
        self.retirement.note(self.is_retired, self.instrument.clock_ms)

    def _notification(self, message: bytes, outcome: Outcome) -> None:
        decoded = decode(message, self.name)
        if decoded is None:
            raise Unreadable("not a notification of a subscription")
        channel, event = decoded
        if isinstance(event, Change):
            self._change(channel, event, outcome)
        elif isinstance(event, list):
            self.instrument.trades(event)
        elif isinstance(event, Ignored):
            self._counts["ignored"] += 1
        else:
            self._statement(event, outcome)

    def _change(self, channel: str, change: Change, outcome: Outcome) -> None:
        instrument = self.instrument
        if not instrument.channel:
            instrument.channel = channel
        if channel != instrument.channel:
            self._counts["other_book_channels"] += 1
            return
        windows, problem = instrument.change(change)
        if windows:
            outcome.windows += self.retirement.published(windows)
        if change.previous_id is None and instrument.has_jumped:
            self._counts["gaps"] += 1
            self.audit.interrupt()
        if problem is None:
            if not instrument.is_live:
                self._counts["changes_without_snapshot"] += 1
            else:
                self._changes += 1
                book = instrument.book
                if instrument.is_top_new:
                    self.audit.observe(book.bids.best_level(), book.asks.best_level())
                if off_tick := self.market_status.off_tick(change):
                    self._counts["off_tick"] += off_tick
        elif isinstance(problem, Duplicate):
            self._counts["duplicate_changes"] += 1
        else:
            if isinstance(problem, Crossed):
                self._counts["crossed"] += 1
            else:
                self._counts["gaps"] += 1
            self.audit.interrupt()
            outcome.needs_resync = True

    def _statement(self, event: Statement, outcome: Outcome) -> None:
        quote = event if isinstance(event, Quote) else None
        if isinstance(event, Figures):
            self.instrument.see_ticker(event.ticker)
            quote = event.quote
        if quote is not None and self.audit.quote(quote):
            self._lose()
            outcome.needs_resync = True
        if not isinstance(event, Quote):
            self.market_status.take(event)
            self._note_retirement()

    @property
    def status(self) -> FeedStatus:
        """The word that an answer about this instrument carries, from what the feed says."""
        instrument = self.instrument
        if self.is_retired:
            return "retired"
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
            [self.retirement.since_ms, self.is_silent],
            dict(sorted(self.counts.items())),
            self.market_status.to_record(),
            self.audit.to_record(),
            self.staleness.to_record(),
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
            (self.retirement.since_ms, self.is_silent),
            counts,
            told,
            audit,
            silence,
            instrument,
        ) = record
        self.counts = Counter(counts)
        self.market_status.restore(told)
        self.audit.restore(audit)
        self.staleness.restore(silence)
        self.instrument = self._new_instrument()
        if self.is_served:  # else it is a state of a release that served whatever it was sent
            self.instrument.restore(instrument)
