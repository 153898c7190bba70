"""One instrument's frames become the reference's histories, by the rules of the feed alone.

Frames are numbered within a session, the order of the log says which session is the current one,
and what is late of an ended one is worth nothing. Windows begin anew, as another history, where the
channel, the venue or the unit of sizes changes. Not known here is a book that is given up because
the venue's own quotes contradict it: no fault run brings that about, and a run that did would
differ from this, not pass.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from decimal import localcontext
from typing import Any, Final, NamedTuple

from tests.checker.feed import Frame
from tests.reference.history import TICK_LAG_MS, History
from tests.reference.windows import EXACT, Window, windows_of

ENDED_REMEMBERED: Final = 8
RETURNED: Final = "+"
"""Sets off the number of an instrument's returns to a connection: `SESSION+1`."""
GIVEN_UP: Final = {"unsubscribed", "delisted"}
"""Reasons of a session's end after which there are no numbers."""
GONE: Final = {"closed", "delivered", "terminated", "archivized"}
"""States of an instrument at the venue that has ended."""


class Rules(NamedTuple):
    """What windows depend on besides the feed."""

    lengths_ms: tuple[int, ...]
    grace_ms: int
    stale_after_ms: int
    hopping: tuple[tuple[int, int], ...] = ()

    @property
    def longest_ms(self) -> int:
        """The length of the longest window."""
        return max(*self.lengths_ms, *(length for length, _ in self.hopping), 0)


@dataclass(slots=True)
class Stretch:
    """A history of one channel, venue and unit; and which windows of it nobody publishes."""

    history: History
    venue: str = ""
    withheld: list[tuple[int, int, int]] = field(default_factory=list)
    """Steps of the clock, from, to, while the instrument had ended at a third time: windows that
    begin after that and are closed by the step are not published."""

    def windows(self, rules: Rules) -> list[Window]:
        """Return the windows that are to be published."""
        found = windows_of(
            self.history,
            lengths_ms=rules.lengths_ms,
            venue=self.venue or None,
            hopping=rules.hopping,
            grace_ms=rules.grace_ms,
        )
        return [window for window in found if not self._is_withheld(window, rules.grace_ms)]

    def _is_withheld(self, window: Window, grace_ms: int) -> bool:
        start_ms, end_ms = window["start_ms"], window["end_ms"]
        assert isinstance(start_ms, int)
        assert isinstance(end_ms, int)
        return any(
            before < end_ms + grace_ms <= after and start_ms > since
            for before, after, since in self.withheld
        )


class Reading:
    """What the frames of one instrument say, told in the order of the feed."""

    def __init__(self, name: str, rules: Rules) -> None:
        self.name = name
        self.rules = rules
        self.session = ""
        self.sequence = 0
        self.received_ns = 0
        self.counts: Counter[str] = Counter()
        self.stretches = [Stretch(History(name, "", rules.stale_after_ms))]
        self._ended: list[str] = []
        self._end_reason = ""
        self._state = ""
        """Of the instrument, as the venue says in this session."""
        self._retired_ms: int | None = None

    @property
    def history(self) -> History:
        """The history that goes on."""
        return self.stretches[-1].history

    @property
    def change_id(self) -> int | None:
        """The last change that was applied; None before the first."""
        seen = self.history.observations
        return seen[-1].change_id if seen else None

    @property
    def is_live(self) -> bool:
        """Whether the book may be served as live."""
        return self.history.is_live and self._retired_ms is None

    def take(self, frame: Frame) -> None:
        """Take the next frame about the instrument, or a frame of ticks."""
        with localcontext(EXACT):
            if frame.sequence == 0:
                if frame.session == self.session.partition(RETURNED)[0]:
                    self._items(frame.items)
                return
            if frame.session != self.session:
                if frame.session in self._ended:
                    self.counts["frames_of_ended_sessions"] += 1
                    return
                self._begin(frame)
            if frame.sequence <= self.sequence:
                self.counts["duplicate_frames"] += 1
                return
            if missing := frame.sequence - self.sequence - 1:
                self.counts["lost_frames"] += missing
                self.history.take(("gap",))
            self.sequence = frame.sequence
            self._items(frame.items)

    def tick_that_closes_all(self) -> Frame | None:
        """Return a frame that closes every window that has begun; None if there is no clock yet."""
        clock_ms = self.history.clock_ms
        if clock_ms is None:
            return None
        venue_ms = clock_ms + self.rules.longest_ms + self.rules.grace_ms + TICK_LAG_MS
        return Frame("", "", self.session.partition(RETURNED)[0], 0, [["t", 0, venue_ms, 0]])

    def _begin(self, frame: Frame) -> None:
        if self.session:
            self._ended = [*self._ended, self.session][-ENDED_REMEMBERED:]
        self.session, self.sequence, self._state = frame.session, 0, ""
        known = self.history.channel
        if known and frame.channel and frame.channel != known:
            self._begin_anew()
        self.history.channel = frame.channel or known
        self.history.take(("connected",))

    def _begin_anew(self, linear: bool | None = None) -> None:
        old = self.history
        linear = old.linear if linear is None else linear
        new = History(self.name, old.channel, old.max_quiet_ms, linear, silences=old.silences)
        self.stretches.append(Stretch(new))

    def _items(self, items: list[list[Any]]) -> None:
        for kind, *fields in items:
            if kind == "t" and self._is_over():
                continue
            before_ms = self.history.clock_ms
            self._item(kind, fields)
            after_ms = self.history.clock_ms
            if self._retired_ms is not None and None not in (before_ms, after_ms):
                step = before_ms, after_ms, self._retired_ms
                self.stretches[-1].withheld.append(step)  # type: ignore[arg-type]

    def _item(self, kind: str, fields: list[Any]) -> None:
        match kind, fields:
            case "n", (received_ns, message):
                self.received_ns = received_ns
                self.history.take(("message", received_ns, message))
                self._hear_state(message)
            case "t", (_, venue_ms, quiet_ms):
                self.history.take(("tick", venue_ms, quiet_ms))
            case "c", (_, _, is_simulated, *venue):
                self._follow((venue and venue[0]) or ("simulated" if is_simulated else ""))
            case "d", (_, reason):
                self._end_reason = reason
                self.history.take(("disconnected",))
                self._note_retirement()
            case "f", (_, is_followed):
                self.history.take(("trades_followed", is_followed))
            case "g", (received_ns, channel, *_):
                self.history.take(("gap", received_ns, channel))
            case "i", (_, linear, *_) if linear is not None and linear != self.history.linear:
                venue = self.stretches[-1].venue
                self._begin_anew(linear)
                self.stretches[-1].venue = venue
                self._note_retirement()

    def _follow(self, venue: str) -> None:
        known = self.stretches[-1].venue
        if known and known != venue:
            self._begin_anew()
        self.stretches[-1].venue = venue
        self._end_reason = ""
        self._note_retirement()

    def _hear_state(self, message: bytes) -> None:
        if b'"state"' not in message:
            return
        try:
            params = json.loads(message)["params"]
            channel, data = params["channel"], params["data"]
            tells = channel.startswith(("instrument.state.", f"ticker.{self.name}."))
            if tells and data["instrument_name"] == self.name:
                self._state = data["state"]
                self._note_retirement()
        except (ValueError, KeyError, TypeError, AttributeError):
            return

    def _note_retirement(self) -> None:
        """Nothing is told of what has ended; the windows that have begun are completed."""
        if self._end_reason not in GIVEN_UP and self._state not in GONE:
            self._retired_ms = None
        elif self._retired_ms is None:
            self.history.forget()
            self._retired_ms = self.history.clock_ms or 0

    def _is_over(self) -> bool:
        if self._retired_ms is None:
            return False
        over_ms = self._retired_ms + self.rules.longest_ms + self.rules.grace_ms
        return (self.history.clock_ms or 0) > over_ms
