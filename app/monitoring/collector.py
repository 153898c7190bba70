"""Reads what other parts of the worker count anyway, when Prometheus asks; no cost in between.

A part that is not there (no ingest on this worker, no partition yet) has no sample, which is not 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Sized
from typing import Any, Final, Protocol

from faust.types import TP
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.ingest.service import Ingest
from app.state.read_model import Serving
from app.state.written import WrittenState
from deribit.vocabulary import OTHER_ERROR, REASONS
from faust_exact.partition_states import StateKeeper
from models.status import FEED_STATUSES

BOOK_EVENTS: Final = {
    "gaps": "gap",
    "gaps_at_ingest": "gap_at_ingest",
    "crossed": "crossed",
    "silences": "silence",
    "disconnects": "disconnect",
    "lost_frames": "lost_frame",
    "duplicate_frames": "duplicate_frame",
    "duplicate_changes": "duplicate_change",
}
"""Counts of a processor's state, with the label that each has here."""


class Followed(Protocol):
    """The hub of the streams, as far as it is counted."""

    @property
    def clients(self) -> Sized:
        """Return the clients."""

    @property
    def latest(self) -> Sized:
        """Return the newest message of each key."""


class Consuming(Protocol):
    """The consumer of the app."""

    consumer: Any

    @property
    def consumer_is_ready(self) -> bool:
        """Return whether it has been given its partitions."""


class WorkerCollector(Collector):
    """Reads a worker."""

    def __init__(
        self,
        read: Serving,
        written: WrittenState,
        ingest: Ingest | None,
        hub: Followed,
        member: Consuming,
        topic_prefix: str,
    ) -> None:
        self._read = read
        self._written = written
        self._ingest = ingest
        self._hub = hub
        self._member = member
        self._prefix = topic_prefix
        self._keepers: Sequence[StateKeeper[Any]] = (written.books, written.history)
        self._events: Counter[str] = Counter()
        self._known: dict[str, tuple[int, tuple[int | None, ...]]] = {}
        """By owned instrument: which object its state is, and its counts when last seen, in the
        order of `BOOK_EVENTS`; None is 0."""

    def describe(self) -> list[Metric]:
        """Return nothing: the registry must not read a worker that is still being built."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as of now."""
        yield from self._feed()
        yield from self._books()
        yield from self._lag()
        readiness = self._read.readiness()
        yield _gauge("steelyard_ready", "1 if this worker does its work.", float(readiness.ready))
        yield _gauge(
            "steelyard_degraded",
            "1 if it does its work, but not with all that is wanted, such as a stale feed.",
            float(bool(readiness.degraded)),
        )
        yield _gauge("steelyard_push_clients", "Clients of the streams.", len(self._hub.clients))
        yield _gauge(
            "steelyard_push_keys",
            "Keys of which the streams hold the newest message.",
            len(self._hub.latest),
        )

    def look(self) -> None:
        """Add up what the owned states have counted since the last look.

        The counts are part of the state and move with it to another worker, where they must not
        count again; so only differences to what was seen here are added.
        """
        known: dict[str, tuple[int, tuple[int | None, ...]]] = {}
        for partition in self._written.books.partitions.values():
            for state in partition.states.values():
                now = tuple(map(state.counts.get, BOOK_EVENTS))  # a Counter's own zeros cost more
                known[state.name] = id(state), now
                identity, before = self._known.get(state.name, (0, now))
                if identity == id(state) and now != before:
                    for name, count, counted in zip(BOOK_EVENTS, now, before, strict=True):
                        self._events[name] += max(0, (count or 0) - (counted or 0))
        self._known = known
        self._written.metrics.keep(known)

    def _feed(self) -> Iterator[Metric]:
        ingest = self._ingest
        if ingest is None or not ingest.started:
            return
        seen, counts = ingest.client.counts, ingest.counts
        yield _counter("steelyard_feed_messages", "Messages of the venue.", seen.messages)
        yield _counter("steelyard_feed_bytes", "Bytes of the venue's messages.", seen.bytes)
        yield _counter(
            "steelyard_feed_overflowed",
            "Notifications dropped because processing did not keep up; their books were resynced.",
            seen.overflowed,
        )
        family = CounterMetricFamily(
            "steelyard_feed_disconnects",
            "Connections to the venue that ended or did not come about.",
            labels=["reason"],
        )
        # All from the beginning, so that the first one is an increase.
        disconnects = Counter(dict.fromkeys(REASONS, 0))
        for reason, count in seen.disconnects.items():
            disconnects[reason if reason in disconnects else OTHER_ERROR] += count
        for reason, count in disconnects.items():
            family.add_metric([str(reason)], count)
        yield family
        yield _counter("steelyard_feed_sessions", "Sessions begun with the venue.", counts.sessions)
        yield _counter("steelyard_feed_gaps", "Gaps seen in the venue's chain.", counts.gaps)
        yield _counter(
            "steelyard_feed_rejected_channels", "Channels the venue refused.", counts.rejected
        )
        yield _gauge(
            "steelyard_feed_connections",
            "Sessions with the venue that are open now.",
            sum(connection.session is not None for connection in ingest.connections),
        )
        waiting = ingest.waiting()
        yield _gauge(
            "steelyard_feed_waiting_messages",
            "Messages of the venue that wait to become frames.",
            waiting.messages,
        )
        yield _gauge(
            "steelyard_feed_waiting_frames",
            "Frames that Kafka has not acknowledged yet.",
            waiting.frames,
        )
        yield _gauge(
            "steelyard_feed_waiting_seconds",
            "Since the oldest of what is not in Kafka yet was received; 0 if nothing waits.",
            waiting.oldest_s,
        )

    def _books(self) -> Iterator[Metric]:
        self.look()
        written = self._written
        events = CounterMetricFamily(
            "steelyard_book_events",
            "What broke a book's sequence, or repeated a part of it, by kind.",
            labels=["kind"],
        )
        for name, label in BOOK_EVENTS.items():
            events.add_metric([label], self._events[name])
        yield events
        statuses = Counter(
            state.status
            for partition in written.books.partitions.values()
            for state in partition.states.values()
        )
        owned = GaugeMetricFamily(
            "steelyard_instruments", "Instruments owned by this worker.", labels=["status"]
        )
        for status in FEED_STATUSES:
            owned.add_metric([status], statuses[status])
        yield owned
        numbers = written.books.partitions
        yield _gauge("steelyard_partitions", "Partitions owned by this worker.", len(numbers))
        ages = [written.feed_age_ms(number) / 1_000 for number in numbers]
        if ages:
            yield _gauge(
                "steelyard_feed_age_seconds",
                "Since the quietest owned partition of the feed said anything, ticks included.",
                max(ages),
            )

        kafka_ms = written.latest.clocks.ahead_ms(written.secret)
        ahead = {"kafka": kafka_ms, "venue": written.venue_ahead_ms}
        clock = GaugeMetricFamily(
            "steelyard_clock_ahead_seconds",
            "How far this worker's clock is ahead of Kafka's or the venue's; below 0 it is behind.",
            labels=["of"],
        )
        for of, ahead_ms in ahead.items():
            if ahead_ms is not None:
                clock.add_metric([of], ahead_ms / 1_000)
        yield clock

    def _lag(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "steelyard_lag_records",
            "Records of a topic that are not processed yet, over the owned partitions.",
            labels=["topic"],
        )
        for keeper in self._keepers:
            behind = 0
            for number, partition in list(keeper.partitions.items()):
                end = self._end(keeper.input_tp(number))
                behind += max(0, (end or 0) - partition.position)
            lag.add_metric([keeper.topic.removeprefix(self._prefix)], behind)
        yield lag
        looped = CounterMetricFamily(
            "steelyard_looped_back_records",
            "Records of a topic that this worker wrote, and applied without a fetch.",
            labels=["topic"],
        )
        for keeper in self._keepers:
            if keeper.loopback is not None:
                topic = keeper.topic.removeprefix(self._prefix)
                looped.add_metric([topic], keeper.loopback.applied)
        yield looped

    def _end(self, tp: TP) -> int | None:
        """Return the end of a partition as of the last fetch; None if nothing was fetched yet."""
        if not self._member.consumer_is_ready or tp not in self._member.consumer.assignment():
            return None
        end: int | None = self._member.consumer.highwater(tp)
        return end


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)
