"""Window configuration: lengths, grace, staleness; and until when an instrument has windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from orderbook.windows.span import Span, tumbling


@dataclass(frozen=True, slots=True)
class Rules:
    """The configuration that windows depend on besides the feed; part of the state's identity."""

    lengths_ms: tuple[int, ...]
    """Of the windows that do not overlap."""
    grace_ms: int
    stale_after_ms: int
    hopping: tuple[Span, ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """All windows to publish."""
        return (*tumbling(*self.lengths_ms), *self.hopping)


@dataclass(slots=True)
class Retirement:
    """The end of an instrument: given up by somebody's will, or ended at the venue.

    The windows that have begun are completed, by the ticks of the session, and no more are made.
    """

    rules: Rules
    since_ms: int | None = None
    """Event time of the end; None while the instrument goes on."""

    @property
    def is_retired(self) -> bool:
        """Return whether the end was noted."""
        return self.since_ms is not None

    def note(self, is_retired: bool, clock_ms: int | None) -> None:
        """Note whether the instrument is retired now; it may come back."""
        if not is_retired:
            self.since_ms = None
        elif self.since_ms is None:
            self.since_ms = clock_ms or 0

    def published(self, windows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the windows that had begun before the end."""
        if self.since_ms is None:
            return windows
        return [window for window in windows if window["start_ms"] <= self.since_ms]

    def is_over(self, clock_ms: int | None) -> bool:
        """Return whether the last window has been published."""
        if self.since_ms is None:
            return False
        longest_ms = max(span.length_ms for span in self.rules.spans)
        return (clock_ms or 0) > self.since_ms + longest_ms + self.rules.grace_ms
