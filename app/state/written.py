"""The state that the agents of a worker write: books and history of its partitions, and `latest`.

What others read of it is in worker_read_model.py.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, Final

from app.monitoring.metrics import Metrics
from app.processing.processor import Processor, Rules
from app.recordings.to_frames import REPLAYED
from app.settings import Settings
from app.state.history_chunks import Chunk
from app.state.latest_states import LatestStates
from app.state.live_state import live_state
from app.state.live_updates import LiveUpdates
from app.topics.partitioner import partition_of
from faust_exact.fast.local_delivery import Loopback
from faust_exact.partition_states import StateKeeper
from faust_exact.producer import SNAPPY, ZSTD
from faust_exact.time_slice import Turn
from models.frame import Frame, Item, Tick
from models.live import LiveRecord, LiveState
from orderbook.windows.span import Span

RETIRED_SHOWN_MS: Final = 24 * 3_600_000
"""So long an instrument that the venue has delisted is still answered for, as `retired`."""
SECRET_BYTES: Final = 32
BEHIND_MS: Final = 1_000
"""What was received longer ago than this is of a backlog, or of a recording."""


class WrittenState:
    """Books and history of the partitions owned here, and the latest of everything."""

    def __init__(
        self,
        configured: Settings,
        rules: Rules,
        books: StateKeeper[Processor],
        history: StateKeeper[Chunk],
        latest: LatestStates,
        metrics: Metrics,
    ) -> None:
        self.worker = configured.worker_name
        self.url = configured.advertised_url
        self.secret = secrets.token_urlsafe(SECRET_BYTES)
        """Names this process in its live records; see `ReadModel.secret`."""
        self.rules = rules
        self.books = books
        self.history = history
        self.latest = latest
        self.metrics = metrics
        self.feed = Loopback(books, SNAPPY)
        self.closed_windows = Loopback(history, ZSTD)
        self.neighbour_troubles: list[str] = []
        """Which other workers are not reached where they say that they are."""
        self.venue_ahead_ms: int | None = None
        """By how much this worker's clock is ahead of the venue's, as of the last tick; it is never
        less than a message takes. None where this worker does not read the venue."""
        self.delay_ms = 0
        """From receipt until it was applied, of the last frame."""
        self.newest: dict[tuple[str, Span], int] = {}
        """By instrument and span: start of the newest window in the history."""
        self._reads_venue = configured.ingest
        self._partitions = configured.partitions
        self._shortest_ms = configured.windows[0]
        self._windows: dict[str, dict[str, Any]] = {}
        """By instrument: its last closed window of the shortest length."""
        self._heard: defaultdict[int, LiveUpdates] = defaultdict(LiveUpdates)
        self._began_s = time.monotonic()

    def now_ms(self) -> int:
        """Return the wall clock, ms since the epoch."""
        return time.time_ns() // 1_000_000

    def partition_of(self, instrument: str) -> int:
        """Return the partition of an instrument."""
        return partition_of(instrument, self._partitions)

    # The agents write

    def heard(self, partition: int, frame: Frame) -> None:
        """Note what a frame was about, for the next live record."""
        received_ms = max((_heard_ms(item) for item in frame.items), default=0)
        heard = self._heard[partition]
        heard.hear(received_ms, now_s=time.monotonic(), now_ms=self.now_ms())
        if not frame.sequence and frame.items and self._reads_venue:
            tick = frame.items[-1]
            if type(tick) is Tick:
                self.venue_ahead_ms = _heard_ms(tick) - tick.venue_ms
        if frame.sequence:
            heard.change(frame.instrument)
            self.delay_ms = max(0, self.now_ms() - received_ms)
            self.metrics.latency["applied"].observe(self.delay_ms / 1_000)

    def is_behind(self, frame: Frame) -> bool:
        """Return whether a frame was received so long ago that it is one of a backlog."""
        received_ns = frame.items[-1].received_ns if frame.items else 0
        return self.now_ms() - received_ns // 1_000_000 > BEHIND_MS

    def closed(self, partition: int, instrument: str, record: dict[str, Any]) -> None:
        """Note a closed window; the shortest length is part of the live state."""
        self.metrics.window(record["status"], record["end_ms"], self.now_ms())
        if record["length_ms"] == self._shortest_ms and "hop_ms" not in record:
            self._windows[instrument] = record
            self._heard[partition].change(instrument)

    def saw_window(self, instrument: str, span: Span, start_ms: int) -> None:
        """Note a window of the history."""
        key = instrument, span
        self.newest[key] = max(start_ms, self.newest.get(key, start_ms))

    def forget_partitions(self) -> None:
        """Forget what is known of partitions that are not owned any more."""
        owned = self.history.partitions
        for key in [key for key in self.newest if self.partition_of(key[0]) not in owned]:
            del self.newest[key]
        for number in self._heard.keys() - self.books.partitions.keys():
            del self._heard[number]

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

    # As it stands in this process

    def live_state(self, state: Processor, partition: int) -> LiveState:
        """Return the current state of an owned instrument."""
        window = self._windows.get(state.name)
        return live_state(state, partition, window, self.now_ms())

    def owned_states(self) -> list[Processor]:
        """Return the states of what is owned and ingested."""
        return [
            state
            for partition in self.books.partitions.values()
            for state in partition.states.values()
            if not state.is_retired
        ]

    def followed(self) -> list[str]:
        """Return the owned instruments that a worker ingests, as far as the feed says."""
        return [state.name for state in self.owned_states() if state.worker != REPLAYED]

    def feed_age_ms(self, partition: int) -> int:
        """Return the time since the feed of an owned partition said anything, ticks included.

        A partition without instruments has nothing to say; one that has not said anything yet is
        counted from the start of this worker.
        """
        if not self.books.partitions[partition].states:
            return 0
        age_ms = self.heard_age_ms(partition)
        return round((time.monotonic() - self._began_s) * 1_000) if age_ms is None else age_ms

    def heard_age_ms(self, partition: int) -> int | None:
        """Return the time since a partition was heard here; None if it has not been yet."""
        heard = self._heard.get(partition)
        return None if heard is None else heard.age_ms(time.monotonic())


def _heard_ms(item: Item) -> int:
    """Return when the venue was last heard: before a tick that only says how silent it is."""
    quiet_ms = item.quiet_ms if type(item) is Tick else 0
    return item.received_ns // 1_000_000 - quiet_ms
