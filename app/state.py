"""The state of a worker: what agents write and views read. The Faust side of app/serving.py."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from faust.types import TP

from app.books_codec import BooksCodec
from app.exact.keeper import StateKeeper
from app.frames import REPLAYED
from app.history_codec import Chunk, HistoryCodec, chunk_key, chunk_number, chunks_kept
from app.latest import LatestStates
from app.live_state import live_state
from app.metrics import Metrics
from app.partitions import partition_of
from app.processor import Processor, Rules
from app.serving import BookView, Owner, Readiness
from models.frame import Frame, Item, Tick
from models.live import LiveRecord, LiveState
from orderbook.span import Span
from orderbook.units import UNIT

if TYPE_CHECKING:
    from app.ingest import Ingest
    from app.worker import Steelyard

HISTORY_CHECKPOINT_S: Final = 10.0
HISTORY_MAX_AGE_S: Final = 120.0
"""A chunk is written whole: when it has grown by about half, and at the latest after this. What is
not yet written is replayed from `closed`, where a repeat changes nothing."""
RETIRED_SHOWN_MS: Final = 24 * 3_600_000
"""So long an instrument that the venue has delisted is still answered for, as `retired`."""
BEHIND_MS: Final = 1_000
"""What was received longer ago than this is of a backlog, or of a recording."""
WHOLE_LIVE_S: Final = 2.0
"""So often all states of a partition are written to `live`, so that what is gone disappears, and
what a worker cannot be sure of, because it missed a record, is known again."""


class WorkerState:
    """Books and history of the partitions owned here, and the latest of everything."""

    def __init__(self, app: Steelyard) -> None:
        configured = app.options
        self.app = app
        self.worker = configured.worker_name
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
            interval_s=HISTORY_CHECKPOINT_S,
            max_age_s=HISTORY_MAX_AGE_S,
            is_lazy=True,
        )
        app.keepers += [self.books, self.history]
        self.metrics = Metrics()
        for keeper in app.keepers:
            keeper.on_written = self.metrics.checkpoint
        self.kafka_answers = True
        """As of the monitor's last question."""
        self.latest = LatestStates(
            app.raw_table("latest", is_global=True), lambda: app.rebalancing or app.in_recovery
        )
        self._windows: dict[str, dict[str, Any]] = {}
        self._changed: dict[int, set[str]] = {}
        self._heard_ms: dict[int, int] = {}
        """What was heard since the last live record."""
        self._heard_at_ms: dict[int, int] = {}
        self._whole_at: dict[int, float] = {}
        self._published_ms: dict[int, int] = {}
        """By partition: when its last live record was written, which names the record."""
        self._told_status: dict[str, str] = {}
        """By instrument: the status in its last live record."""
        self.delay_ms = 0
        """From receipt until it was applied, of the last frame."""
        self._newest: dict[tuple[str, Span], int] = {}
        """By instrument and span: start of the newest window in the history."""
        self.books.on_settled.append(self._forget_partitions)
        self.ingest: Ingest | None = None
        """The service that holds the socket, where this worker ingests."""

    # Agents write

    def heard(self, partition: int, frame: Frame) -> None:
        """Note what a frame was about, for the next live record."""
        received_ms = max((_heard_ms(item) for item in frame.items), default=0)
        self._heard_ms[partition] = max(received_ms, self._heard_ms.get(partition, 0))
        self._heard_at_ms[partition] = max(received_ms, self._heard_at_ms.get(partition, 0))
        if frame.sequence:
            self._changed.setdefault(partition, set()).add(frame.instrument)
            self.delay_ms = max(0, self.now_ms() - received_ms)
            self.metrics.latency["applied"].observe(self.delay_ms / 1_000)

    def is_behind(self, frame: Frame) -> bool:
        """Whether a frame was received so long ago that it is one of a backlog."""
        received_ns = frame.items[-1].received_ns if frame.items else 0
        return self.now_ms() - received_ns // 1_000_000 > BEHIND_MS

    def closed(self, partition: int, instrument: str, record: dict[str, Any]) -> None:
        """Note a closed window; the shortest length is part of the live state."""
        self.metrics.window(record["status"], record["end_ms"], self.now_ms())
        if record["length_ms"] == self.lengths_ms[0] and "hop_ms" not in record:
            self._windows[instrument] = record
            self._changed.setdefault(partition, set()).add(instrument)

    def saw_window(self, instrument: str, span: Span, start_ms: int) -> None:
        """Note a window of the history."""
        key = instrument, span
        self._newest[key] = max(start_ms, self._newest.get(key, start_ms))

    def changed_states(self) -> Iterator[LiveRecord]:
        """Yield a live record for each owned partition of which something was heard."""
        now = time.monotonic()
        for number, partition in list(self.books.partitions.items()):
            heard_ms = self._heard_ms.pop(number, None)
            changed = self._changed.pop(number, set())
            whole = now - self._whole_at.get(number, 0.0) >= WHOLE_LIVE_S
            if heard_ms is None and not changed and not whole:
                continue
            if whole:
                self._whole_at[number] = now
            states = [
                state
                for state in partition.states.values()
                if not self._is_forgotten(state)
                and (
                    whole
                    or state.name in changed
                    or state.status != self._told_status.get(state.name)  # a tick can change it
                )
            ]
            self._told_status |= {state.name: state.status for state in states}
            heard_ms = heard_ms or max((s.received_ns for s in states), default=0) // 1_000_000
            after_ms = self._published_ms.get(number, 0)
            self._published_ms[number] = max(self.now_ms(), after_ms + 1)
            record = LiveRecord(
                partition=number,
                worker=self.worker,
                published_ms=self._published_ms[number],
                after_ms=after_ms,
                heard_ms=heard_ms,
                whole=whole,
                states={state.name: self.live_state(state, number) for state in states},
            )
            self.metrics.live(record.states[name] for name in changed & record.states.keys())
            yield record

    def _is_forgotten(self, state: Processor) -> bool:
        """Whether nobody asks for an instrument any more: unsubscribed, or gone for a day."""
        if not state.is_retired:
            return False
        gone_ms = self.now_ms() - state.received_ns // 1_000_000
        return state.end_reason == "unsubscribed" or gone_ms > RETIRED_SHOWN_MS

    def live_state(self, state: Processor, partition: int) -> LiveState:
        """Return the current state of an owned instrument."""
        window = self._windows.get(state.name)
        return live_state(state, partition, window, self.now_ms())

    def _forget_partitions(self) -> None:
        owned = self.books.partitions
        for number in [n for n in self._heard_at_ms if n not in owned]:
            del self._heard_at_ms[number]
        for number in [n for n in self._whole_at if n not in owned]:
            del self._whole_at[number]
            self._published_ms.pop(number, None)
            self._changed.pop(number, None)
            self._heard_ms.pop(number, None)

    # Views read

    @property
    def simulated(self) -> bool:
        """Whether any instrument comes from a simulated venue."""
        return any(state.simulated for state in self.states().values())

    def now_ms(self) -> int:
        """Return the wall clock, ms since the epoch."""
        return time.time_ns() // 1_000_000

    def states(self) -> dict[str, LiveState]:
        """Return the last known state of every instrument, wherever it is owned."""
        return self.latest.states()

    def status_of(self, state: LiveState) -> str:
        """Return the word an answer carries now."""
        heard_ms = self.latest.heard_ms(state.partition)
        if self.now_ms() - max(heard_ms, state.received_ms) <= self.stale_after_ms:
            return state.status
        if self.app.rebalancing or self.app.in_recovery:
            return "recovering"
        return "stale" if state.status == "live" else state.status

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
                return Owner(partition, "" if other == mine else other)
        return Owner(partition, "")

    def book(self, instrument: str, depth: int) -> BookView | None:
        """Return an owned book, or None if this worker does not hold it."""
        partition = self.partition_of(instrument)
        state = self.books.peek(partition, instrument.encode())
        if state is None:
            return None
        book = state.instrument.book
        live = self.live_state(state, partition)
        if live.status == "live" and not self._hears(partition):
            live.status = "stale"
        return BookView(
            state=live,
            bids=[(price / UNIT, size / UNIT) for price, size in book.bids.top(depth)],
            asks=[(price / UNIT, size / UNIT) for price, size in book.asks.top(depth)],
            bid_levels=len(book.bids),
            ask_levels=len(book.asks),
            grouped=state.told.grouped,
        )

    def _hears(self, partition: int) -> bool:
        """Whether the feed of an owned partition has said something lately."""
        return self.now_ms() - self._heard_at_ms.get(partition, 0) <= self.stale_after_ms

    def windows(
        self, instrument: str, span: Span, from_ms: int, to_ms: int, limit: int
    ) -> list[bytes]:
        """Return owned windows as their JSON, by start; the last `limit` of the range."""
        partition = self.partition_of(instrument)
        kept = chunks_kept(self.app.options.history)
        last = chunk_number(max(to_ms - 1, 0), span)
        newest = self._newest.get((instrument, span))
        if newest is not None:
            last = min(last, chunk_number(newest, span))
        first = max(chunk_number(max(from_ms, 0), span), last - kept + 1)
        found: list[tuple[int, bytes]] = []
        for number in range(last, first - 1, -1):
            chunk = self.history.peek(partition, chunk_key(instrument, span, number)) or {}
            found += [(start, value) for start, value in chunk.items() if from_ms <= start < to_ms]
            if len(found) >= limit:
                break
        return [value for _, value in sorted(found)[-limit:]]

    def readiness(self) -> Readiness:
        """Return whether this worker does its work."""
        app = self.app
        reasons: list[str] = []
        owned = self.books.partitions
        if app.rebalancing:
            reasons.append("partitions are being assigned")
        elif app.in_recovery:
            reasons.append("tables are being recovered")
        if not self.kafka_answers:
            reasons.append("Kafka does not answer")
        assigned = self._assigned_partitions()
        if assigned - owned.keys():
            reasons.append(f"partitions {sorted(assigned - owned.keys())} are not taken over yet")
        if not app.consumer_is_ready:
            reasons.append("not yet a member of the consumer group")
        statuses: dict[str, int] = {}
        for partition in owned.values():
            for state in partition.states.values():
                statuses[state.status] = statuses.get(state.status, 0) + 1
        if not reasons:
            reasons += self._missing()
        details = {
            "worker": self.worker,
            "partitions": sorted(owned),
            "instruments": len(self.states()),
            "owned": statuses,
        }
        if self.ingest is not None:
            details["connections"] = [one.status() for one in self.ingest.connections]
        return Readiness(not reasons, reasons, details, [] if reasons else self._degraded())

    def _degraded(self) -> list[str]:
        """Say what is not as it should be, although the worker does its work."""
        reasons: list[str] = []
        if self.ingest is not None:
            reasons += self.ingest.troubles()
        quiet = [n for n in self.books.partitions if self.feed_age_ms(n) > self.stale_after_ms]
        behind = {n: lag for n in quiet if (lag := self._lag(n)) > 0}
        if behind:
            lag = sum(behind.values())
            reasons.append(f"partitions {sorted(behind)} are behind: {lag} frames to be processed")
        if silent := sorted(set(quiet) - behind.keys()):
            reasons.append(f"the feed of partitions {silent} is stale")
        states = self._owned_states()
        lost = [state for state in states if state.status != "live"]
        if lost:
            reasons.append(f"{len(lost)} of {len(states)} instruments have no live book")
        return reasons

    def _lag(self, number: int) -> int:
        """Return how many frames of an owned partition wait, as of the last fetch."""
        tp = self.books.input_tp(number)
        if not self.app.consumer_is_ready or tp not in self.app.consumer.assignment():
            return 0
        return (self.app.consumer.highwater(tp) or 0) - self.books.partitions[number].position

    def followed(self) -> list[str]:
        """Return the owned instruments that a worker ingests, as far as the feed says."""
        return [state.name for state in self._owned_states() if state.worker != REPLAYED]

    def _owned_states(self) -> list[Processor]:
        """Return the states of what is owned and ingested."""
        return [
            state
            for partition in self.books.partitions.values()
            for state in partition.states.values()
            if not state.is_retired
        ]

    def feed_age_ms(self, partition: int) -> int:
        """Return the time since the feed of an owned partition said anything, ticks included.

        A partition without instruments has nothing to say.
        """
        if not self.books.partitions[partition].states:
            return 0
        return max(0, self.now_ms() - self._heard_at_ms.get(partition, 0))

    def _missing(self) -> list[str]:
        """Say what is still without a book here or unknown to the views."""
        known = self.states()
        if self.app.options.ingest and self.books.partitions:
            if self.ingest is None:
                return ["ingest has not started yet"]
            if self.ingest.session is None and not known:
                return ["not connected to the venue yet"]
            wanted = self.ingest.wanted.instruments()
            missing = [n for n in wanted if n not in known or known[n].status == "waiting"]
            if missing:
                return [
                    f"{len(missing)} of {len(wanted)} instruments wait for their first snapshot"
                ]
        return [] if known else ["no instrument is known yet"]

    def _assigned_partitions(self) -> set[int]:
        if not self.app.consumer_is_ready:
            return set()
        assignment: set[TP] = self.app.consumer.assignment()
        return {tp.partition for tp in assignment if tp.topic == self.books.topic}


def _heard_ms(item: Item) -> int:
    """Return when the venue was last heard: before a tick that only says how silent it is."""
    quiet_ms = item.quiet_ms if type(item) is Tick else 0
    return item.received_ns // 1_000_000 - quiet_ms
