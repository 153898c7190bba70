"""What the views read: the current states, the owned books, the history. Agents write it.

Ages are judged here, at the moment of the question, because an answer must not say `live` when
nothing has been heard for a while; and not by comparing the wall clocks of two machines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from models.live import LiveState
from orderbook.events import GroupedBook
from orderbook.windows.span import Span


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds the book and the history of an instrument."""

    partition: int
    url: str | None
    """Base URL of the owning worker's views; None if it is this worker, "" if nobody is known."""
    secret: str = ""
    """That of the owning process, as its live records in Kafka have it; "" if none has come."""


@dataclass(frozen=True, slots=True)
class BookView:
    """An owned book: levels best first as (price, size)."""

    state: LiveState
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    bid_levels: int
    """Levels that the whole side has, of which at most the depth asked for is given."""
    ask_levels: int
    grouped: GroupedBook | None = None
    """The venue's own view, not sequence-checked; None where its channel is not ingested."""
    age_ms: int | None = None
    """Time since the venue was last heard about it; None: it never was."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether this worker does its work; `reasons` says why not, `details` how it stands."""

    ready: bool
    reasons: list[str]
    details: dict[str, Any]
    degraded: list[str] = field(default_factory=list)
    """What is not as it should be although it does its work."""


class Serving(Protocol):
    """The read side of a worker."""

    worker: str
    secret: str
    """Of this process, by which other workers know its answers; also in its live records."""
    lengths_ms: tuple[int, ...]
    """Of the windows that do not overlap."""
    hopping: tuple[Span, ...]
    """The windows that do."""
    kept_windows: int
    """Of each length, in the history."""
    stale_after_ms: int

    @property
    def simulated(self) -> bool:
        """Whether any instrument comes from a simulated venue."""

    @property
    def knows_states(self) -> bool:
        """Whether what `states` returns has been read since this worker started."""

    def now_ms(self) -> int:
        """Return the wall clock, ms since the epoch."""

    def states(self) -> dict[str, LiveState]:
        """Return the last known state of every instrument, wherever it is owned."""

    def status_of(self, state: LiveState) -> str:
        """Return the word an answer carries now: the state's own, or `stale` if it is too old."""

    def age_ms(self, state: LiveState) -> int | None:
        """Return the time since the venue was last heard about it; None if it never was."""

    def owner(self, instrument: str) -> Owner:
        """Return who owns an instrument."""

    def book(self, instrument: str, depth: int) -> BookView | None:
        """Return an owned book, or None if this worker does not hold it."""

    def windows(
        self, instrument: str, span: Span, from_ms: int, to_ms: int, limit: int
    ) -> list[bytes]:
        """Return owned windows as their JSON, by start, with from_ms ≤ start < to_ms; the last
        `limit` of them if there are more."""

    def kept_from_ms(self, instrument: str, span: Span) -> int | None:
        """Return the start of the oldest owned window that is kept; None if there is none."""

    def readiness(self) -> Readiness:
        """Return whether this worker does its work."""
