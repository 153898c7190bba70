"""The state of a worker: what agents write and views read; the Faust side of read_model.py."""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, Final

from app.monitoring.metrics import Metrics
from app.processing.processor import Processor, Rules
from app.processing.state_codec import BooksCodec
from app.recordings.to_frames import REPLAYED
from app.state.history_chunks import Chunk, HistoryCodec, chunk_key, chunk_number, chunk_prefix
from app.state.latest_states import LatestStates
from app.state.live_state import live_state
from app.state.live_updates import LiveUpdates
from app.state.read_model import BookView, Owner, Readiness
from app.state.readiness import FirstBooks, FirstReading, readiness_of
from app.topics.partitioner import partition_of
from faust_exact.fast.local_delivery import Loopback
from faust_exact.partition_states import StateKeeper
from faust_exact.producer import SNAPPY, ZSTD
from faust_exact.time_slice import Turn
from models.closed import ClosedWindow
from models.frame import Frame, Item, Tick
from models.live import LiveRecord, LiveState
from orderbook.units import UNIT
from orderbook.windows.span import Span

if TYPE_CHECKING:
    from app.ingest.service import Ingest
    from app.worker import Steelyard

HISTORY_MAX_AGE_S: Final = 120.0
"""A chunk is written whole: when it is full, and at the latest after this. What is not yet written
is replayed from `closed`, where a repeat changes nothing."""
RETIRED_SHOWN_MS: Final = 24 * 3_600_000
"""So long an instrument that the venue has delisted is still answered for, as `retired`."""
SECRET_BYTES: Final = 32
BEHIND_MS: Final = 1_000
"""What was received longer ago than this is of a backlog, or of a recording."""


class WorkerState:
    """Books and history of the partitions owned here, and the latest of everything."""

    def __init__(self, app: Steelyard) -> None:
        configured = app.options
        self.app = app
        self.worker = configured.worker_name
        self.url = configured.advertised_url
        self.neighbour_troubles: list[str] = []
        """Which other workers are not reached where they say that they are."""
        self.secret = secrets.token_urlsafe(SECRET_BYTES)
        self.lengths_ms = configured.windows
        self.hopping = configured.hopping
        self.kept_windows = configured.history
        self.stale_after_ms = configured.stale_after_ms
        self.rules = Rules(
            configured.windows,
            configured.trade_grace_ms,
            configured.stale_after_ms,
            configured.hopping,
        )
        self.books: StateKeeper[Processor] = StateKeeper(
            app,
            app.topic_name("feed"),
            app.state_table("books"),
            BooksCodec(self.rules),
            max_age_s=configured.checkpoint_max_age_ms / 1_000,
        )
        self.history: StateKeeper[Chunk] = StateKeeper(
            app,
            app.topic_name("closed"),
            app.state_table("history"),
            HistoryCodec(),
            max_age_s=HISTORY_MAX_AGE_S,
            input_per_record=None,
            is_lazy=True,
        )
        app.keepers += [self.books, self.history]
        self.feed = Loopback(self.books, SNAPPY)
        self.closed_windows = Loopback(self.history, ZSTD)
        self.metrics = Metrics()
        for keeper in app.keepers:
            keeper.on_written = self.metrics.checkpoint
        self.latest = LatestStates(
            app.raw_table("latest", is_global=True), lambda: app.rebalancing or app.in_recovery
        )
        self.first_reading = FirstReading(app, self.latest.table)
        self.first_books = FirstBooks()
        self._windows: dict[str, dict[str, Any]] = {}
        """By instrument: its last closed window of the shortest length."""
        self._heard: defaultdict[int, LiveUpdates] = defaultdict(LiveUpdates)
        self._began_s = time.monotonic()
        self.venue_ahead_ms: int | None = None
        """By how much this worker's clock is ahead of the venue's, as of the last tick; it is never
        less than a message takes."""
        self.delay_ms = 0
        """From receipt until it was applied, of the last frame."""
        self._newest: dict[tuple[str, Span], int] = {}
        """By instrument and span: start of the newest window in the history."""
        self.on_closed: Callable[[ClosedWindow], None] | None = None
        """Is told of each window that is closed here."""
        self.books.on_settled.append(self._forget_partitions)
        self.books.on_missed = Processor.miss
        self.ingest: Ingest | None = None
        """The service that holds the socket, where this worker ingests."""

    # Agents write

    def heard(self, partition: int, frame: Frame) -> None:
        """Note what a frame was about, for the next live record."""
        received_ms = max((_heard_ms(item) for item in frame.items), default=0)
        heard = self._heard[partition]
        heard.hear(received_ms, now_s=time.monotonic(), now_ms=self.now_ms())
        if not frame.sequence and frame.items and self.ingest is not None:
            tick = frame.items[-1]
            if type(tick) is Tick:
                self.venue_ahead_ms = _heard_ms(tick) - tick.venue_ms
        if frame.sequence:
            heard.change(frame.instrument)
            self.delay_ms = max(0, self.now_ms() - received_ms)
            self.metrics.latency["applied"].observe(self.delay_ms / 1_000)

    def is_behind(self, frame: Frame) -> bool:
        """Whether a frame was received so long ago that it is one of a backlog."""
        received_ns = frame.items[-1].received_ns if frame.items else 0
        return self.now_ms() - received_ns // 1_000_000 > BEHIND_MS

    def closed(self, partition: int, window: ClosedWindow, record: dict[str, Any]) -> None:
        """Note a closed window; the shortest length is part of the live state."""
        self.metrics.window(record["status"], record["end_ms"], self.now_ms())
        if self.on_closed is not None:
            self.on_closed(window)
        if record["length_ms"] == self.lengths_ms[0] and "hop_ms" not in record:
            self._windows[window.instrument] = record
            self._heard[partition].change(window.instrument)

    def saw_window(self, instrument: str, span: Span, start_ms: int) -> None:
        """Note a window of the history."""
        key = instrument, span
        self._newest[key] = max(start_ms, self._newest.get(key, start_ms))

    async def changed_states(self) -> AsyncIterator[LiveRecord]:
        """Yield a live record for each owned partition of which something was heard.

        Others have their turns between two records; each record is of one moment.
        """
        turn = Turn()
        for number, partition in list(self.books.partitions.items()):
            if turn.is_over:
                await turn.pause()
            if self.books.partitions.get(number) is not partition:
                continue  # it was given up meanwhile
            known = (s for s in partition.states.values() if not self._is_forgotten(s))
            due = self._heard[number].due(known, now_s=time.monotonic(), now_ms=self.now_ms())
            if due is None:
                continue
            record = LiveRecord(
                partition=number,
                worker=self.worker,
                published_ms=due.published_ms,
                after_ms=due.after_ms,
                heard_ms=due.heard_ms,
                whole=due.whole,
                secret=self.secret,
                url=str(self.url),
                states={state.name: self.live_state(state, number) for state in due.states},
            )
            self.metrics.live(record.states[name] for name in due.changed & record.states.keys())
            yield record

    def _is_forgotten(self, state: Processor) -> bool:
        """Whether nobody asks for an instrument: not served, unsubscribed, or gone for a day."""
        if not state.is_retired:
            return False
        if not state.is_served:
            return True
        gone_ms = self.now_ms() - state.received_ns // 1_000_000
        return state.end_reason == "unsubscribed" or gone_ms > RETIRED_SHOWN_MS

    def live_state(self, state: Processor, partition: int) -> LiveState:
        """Return the current state of an owned instrument."""
        window = self._windows.get(state.name)
        return live_state(state, partition, window, self.now_ms())

    def _forget_partitions(self) -> None:
        owned = self.history.partitions
        for key in [key for key in self._newest if self.partition_of(key[0]) not in owned]:
            del self._newest[key]
        for number in self._heard.keys() - self.books.partitions.keys():
            del self._heard[number]

    # Views read

    @property
    def simulated(self) -> bool:
        """Whether any instrument comes from a simulated venue."""
        return any(state.simulated for state in self.states().values())

    @property
    def knows_states(self) -> bool:
        """Whether what `states` returns has been read since this worker started."""
        return self.first_reading.is_done

    def now_ms(self) -> int:
        """Return the wall clock, ms since the epoch."""
        return time.time_ns() // 1_000_000

    def states(self) -> dict[str, LiveState]:
        """Return the last known state of every instrument, wherever it is owned."""
        return self.latest.states()

    def status_of(self, state: LiveState) -> str:
        """Return the word an answer carries now."""
        return self._status_now(state.status, self.latest.heard_age_ms(state.partition))

    def _status_now(self, status: str, heard_age_ms: int | None) -> str:
        """Return what a status has become by now, so long after its partition was heard."""
        if heard_age_ms is not None and heard_age_ms <= self.stale_after_ms:
            return status
        if self.app.rebalancing or self.app.in_recovery:
            return "recovering"
        return "stale" if status == "live" else status

    def age_ms(self, state: LiveState) -> int | None:
        """Return the time since the venue was last heard about an instrument."""
        return self.latest.age_ms(state)

    def partition_of(self, instrument: str) -> int:
        """Return the partition of an instrument."""
        return partition_of(instrument, self.app.options.partitions)

    def owner(self, instrument: str) -> Owner:
        """Return who owns an instrument."""
        partition = self.partition_of(instrument)
        if partition in self.books.partitions:
            return Owner(partition, None)
        topic = self.books.table.changelog_topic.get_topic_name()
        for url, assigned in self.app.router.tables_metadata().items():
            if partition in assigned.get(topic, ()):
                mine = str(self.app.conf.canonical_url).rstrip("/")
                other = str(url).rstrip("/")
                return Owner(
                    partition, "" if other == mine else other, self.latest.secret(partition)
                )
        return Owner(partition, "")

    def book(self, instrument: str, depth: int) -> BookView | None:
        """Return an owned book, or None if this worker does not hold it."""
        partition = self.partition_of(instrument)
        state = self.books.peek(partition, instrument.encode())
        if state is None:
            return None
        book = state.instrument.book
        live = self.live_state(state, partition)
        heard_ms = self._heard_age_ms(partition)
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
        partition = self.partition_of(instrument)
        held = self._chunks_held(instrument, span)
        if held is None:
            return []
        first = max(held[0], chunk_number(instrument, max(from_ms, 0), span))
        last = min(held[1], chunk_number(instrument, max(to_ms - 1, 0), span))
        found: list[tuple[int, bytes]] = []
        for number in range(last, first - 1, -1):
            chunk = self.history.peek(partition, chunk_key(instrument, span, number))
            if chunk is None:
                continue
            windows = chunk.windows.items()
            found += [(start, value) for start, value in windows if from_ms <= start < to_ms]
            if len(found) >= limit:
                break
        return [value for _, value in sorted(found)[-limit:]]

    def kept_from_ms(self, instrument: str, span: Span) -> int | None:
        """Return the start of the oldest owned window in the history; None if there is none."""
        held = self._chunks_held(instrument, span)
        if held is None:
            return None
        key = chunk_key(instrument, span, held[0])
        chunk = self.history.peek(self.partition_of(instrument), key)
        return None if chunk is None else min(chunk.windows, default=None)

    def _chunks_held(self, instrument: str, span: Span) -> tuple[int, int] | None:
        """Return the numbers of the first and the last owned chunk in the history."""
        partition = self.history.partitions.get(self.partition_of(instrument))
        if partition is None:
            return None
        prefix = chunk_prefix(instrument, span)
        stored = takewhile(
            lambda key: key.startswith(prefix), self.history.stored_keys(partition, prefix)
        )
        in_memory = [key for key in partition.states if key.startswith(prefix)]
        ends = [int(key[len(prefix) :]) for key in (*islice(stored, 1), *in_memory)]
        newest = self._newest.get((instrument, span))
        if newest is None:  # no window has closed since this worker took it over
            ends += [int(key[len(prefix) :]) for key in stored]
        else:
            ends.append(chunk_number(instrument, newest, span))
        return (min(ends), max(ends)) if ends else None

    def readiness(self) -> Readiness:
        """Return whether this worker does its work."""
        return readiness_of(self)

    def followed(self) -> list[str]:
        """Return the owned instruments that a worker ingests, as far as the feed says."""
        return [state.name for state in self.owned_states() if state.worker != REPLAYED]

    def owned_states(self) -> list[Processor]:
        """Return the states of what is owned and ingested."""
        return [
            state
            for partition in self.books.partitions.values()
            for state in partition.states.values()
            if not state.is_retired
        ]

    def feed_age_ms(self, partition: int) -> int:
        """Return the time since the feed of an owned partition said anything, ticks included.

        A partition without instruments has nothing to say; one that has not said anything yet is
        counted from the start of this worker.
        """
        if not self.books.partitions[partition].states:
            return 0
        age_ms = self._heard_age_ms(partition)
        return round((time.monotonic() - self._began_s) * 1_000) if age_ms is None else age_ms

    def _heard_age_ms(self, partition: int) -> int | None:
        heard = self._heard.get(partition)
        return None if heard is None else heard.age_ms(time.monotonic())


def _heard_ms(item: Item) -> int:
    """Return when the venue was last heard: before a tick that only says how silent it is."""
    quiet_ms = item.quiet_ms if type(item) is Tick else 0
    return item.received_ns // 1_000_000 - quiet_ms
