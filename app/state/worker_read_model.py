"""The read side of a worker (`ReadModel`), over what its agents write and what Faust knows."""

from __future__ import annotations

from app.ingest.service import Ingest
from app.settings import Settings
from app.state.history_reader import HistoryReader
from app.state.membership import Membership
from app.state.read_model import BookView, Owner, Readiness, Serving
from app.state.readiness import FirstReading, WorkerReadiness
from app.state.written import WrittenState
from models.live import LiveState
from orderbook.units import UNIT
from orderbook.windows.span import Span


class WorkerReadModel(Serving):
    """Answers what the views ask of a worker."""

    def __init__(
        self,
        configured: Settings,
        written: WrittenState,
        member: Membership,
        ingest: Ingest | None = None,
    ) -> None:
        self.worker = configured.worker_name
        self.secret = written.secret
        self.lengths_ms = configured.windows
        self.hopping = configured.hopping
        self.kept_windows = configured.history
        self.stale_after_ms = configured.stale_after_ms
        self._url = configured.advertised_url
        self._written = written
        self._member = member
        self._history = HistoryReader(written)
        self._first_reading = FirstReading(member, written.latest.table)
        self._readiness = WorkerReadiness(self, written, member, ingest)

    @property
    def simulated(self) -> bool:
        """Whether any instrument comes from a simulated venue."""
        return any(state.simulated for state in self.states().values())

    @property
    def knows_states(self) -> bool:
        """Whether what `states` returns has been read since this worker started."""
        return self._first_reading.is_done

    def now_ms(self) -> int:
        """Return the wall clock, ms since the epoch."""
        return self._written.now_ms()

    def states(self) -> dict[str, LiveState]:
        """Return the last known state of every instrument, wherever it is owned."""
        return self._written.latest.states()

    def status_of(self, state: LiveState) -> str:
        """Return the word an answer carries now."""
        return self._status_now(state.status, self._written.latest.heard_age_ms(state.partition))

    def _status_now(self, status: str, heard_age_ms: int | None) -> str:
        """Return what a status has become by now, so long after its partition was heard."""
        if heard_age_ms is not None and heard_age_ms <= self.stale_after_ms:
            return status
        if self._member.rebalancing or self._member.in_recovery:
            return "recovering"
        return "stale" if status == "live" else status

    def age_ms(self, state: LiveState) -> int | None:
        """Return the time since the venue was last heard about an instrument."""
        return self._written.latest.age_ms(state)

    def owner(self, instrument: str) -> Owner:
        """Return who owns an instrument."""
        partition = self._written.partition_of(instrument)
        books = self._written.books
        if partition in books.partitions:
            return Owner(partition, None)
        topic = books.table.changelog_topic.get_topic_name()
        for url, assigned in self._member.router.tables_metadata().items():
            if partition in assigned.get(topic, ()):
                mine = str(self._url).rstrip("/")
                other = str(url).rstrip("/")
                secret = self._written.latest.secret(partition)
                return Owner(partition, "" if other == mine else other, secret)
        return Owner(partition, "")

    def book(self, instrument: str, depth: int) -> BookView | None:
        """Return an owned book, or None if this worker does not hold it."""
        partition = self._written.partition_of(instrument)
        state = self._written.books.peek(partition, instrument.encode())
        if state is None:
            return None
        book = state.instrument.book
        live = self._written.live_state(state, partition)
        heard_ms = self._written.heard_age_ms(partition)
        live.status = self._status_now(live.status, heard_ms)
        age_ms = max(self.now_ms() - live.received_ms, heard_ms or 0)
        return BookView(
            state=live,
            age_ms=age_ms if live.received_ms else None,
            bids=[(price / UNIT, size / UNIT) for price, size in book.bids.top(depth)],
            asks=[(price / UNIT, size / UNIT) for price, size in book.asks.top(depth)],
            bid_levels=len(book.bids),
            ask_levels=len(book.asks),
            grouped=state.market_status.grouped,
        )

    def windows(
        self, instrument: str, span: Span, from_ms: int, to_ms: int, limit: int
    ) -> list[bytes]:
        """Return owned windows as their JSON, by start; the last `limit` of the range."""
        return self._history.windows(instrument, span, from_ms, to_ms, limit)

    def kept_from_ms(self, instrument: str, span: Span) -> int | None:
        """Return the start of the oldest owned window in the history; None if there is none."""
        return self._history.kept_from_ms(instrument, span)

    def readiness(self) -> Readiness:
        """Return whether this worker does its work."""
        return self._readiness.current()

    def clock_troubles(self) -> list[str]:
        """Say which clocks differ by more than a message takes."""
        return self._readiness.clock_troubles()
