"""Metrics of this worker, for Prometheus: `/metrics`.

Names are written by hand; docker/prometheus and docker/grafana use them, and a test compares.
Labels have few values, known beforehand: never an instrument, a client, or a text of the venue's.

What other parts count anyway is read when it is asked for (see metrics_collector.py); here is what
has to be measured at the moment when it happens.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Container, Iterable, Mapping
from importlib.metadata import version
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from app.hot_path import WHAT_RUNS
from app.hot_path.finder import RUNS_COMPILED
from app.monitoring.histograms import LATENCY_S, Latencies
from app.version import VERSION
from models.live import LiveState

disable_created_metrics()  # type: ignore[no-untyped-call]  # twice the lines, and nobody reads it

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
LONG_S: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 60, 120)
OTHER: Final = "other"
REFUSED_REASONS: Final[Mapping[str, str]] = {
    "not a frame": "frame",
    "frame version": "frame",
    "not a notification": "not_a_notification",
    "is not about": "wrong_instrument",
    "names the channel": "wrong_instrument",
    "are about": "wrong_instrument",
    "timestamp": "timestamp",
    "price": "number",
    "amount": "number",
    "snapshot": "snapshot",
    "trade": "trade",
    "JSON": "malformed",
    "Expected": "malformed",
    "Invalid": "malformed",
    "missing required": "malformed",
    "decode": "malformed",
}
"""Label of a reason: that of the first of these words that it contains, else `other`."""


class Metrics:
    """The measures of one worker, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._add_build_info()
        latencies = Latencies()
        self.registry.register(latencies)
        self.latency = latencies.stages
        self._windows = latencies.windows
        self._refused = Counter(
            "steelyard_refused",
            "Messages that were not understood and went to the topic refused.",
            ["reason"],
            registry=self.registry,
        )
        for label in (*REFUSED_REASONS.values(), OTHER):
            self._refused.labels(label)  # from the beginning, so that the first one is an increase
        self._checkpoint = Histogram(
            "steelyard_checkpoint_seconds",
            "Time of a partition's checkpoint, until Kafka had acknowledged it.",
            ["table"],
            buckets=LATENCY_S,
            registry=self.registry,
        )
        self._checkpoint_records = Counter(
            "steelyard_checkpoint_records",
            "State records written at checkpoints.",
            ["table"],
            registry=self.registry,
        )
        self._checkpoint_bytes = Counter(
            "steelyard_checkpoint_bytes",
            "Bytes of the state records written at checkpoints.",
            ["table"],
            registry=self.registry,
        )
        self.recovery = Histogram(
            "steelyard_recovery_seconds",
            "From a rebalance's beginning until the tables were recovered.",
            buckets=LONG_S,
            registry=self.registry,
        )
        self.resync = Histogram(
            "steelyard_resync_seconds",
            "From an instrument's loss of its book until it was live again.",
            buckets=LONG_S,
            registry=self.registry,
        )
        self.loop_lag = Histogram(
            "steelyard_loop_lag_seconds",
            "By how much the event loop woke a task too late.",
            buckets=LATENCY_S,
            registry=self.registry,
        )
        self._not_live_since: dict[str, float] = {}
        self._received_ms: dict[str, int] = {}
        """By instrument: of its state that was published last."""

    def expose(self) -> bytes:
        """Return all of it in Prometheus's text format."""
        return generate_latest(self.registry)

    def window(self, status: str, end_ms: int, now_ms: int) -> None:
        """Note a window that was published."""
        self._windows[status] += 1
        self.latency["window"].observe(max(0, now_ms - end_ms) / 1_000)

    def live(self, states: Iterable[LiveState]) -> None:
        """Note states that have changed and are about to be published."""
        for state in states:
            # A state is written anew for a window's end, too, long after the last message.
            if self._received_ms.get(state.instrument) != state.received_ms:
                self._received_ms[state.instrument] = state.received_ms
                late_ms = max(0, state.published_ms - state.received_ms)
                self.latency["live"].observe(late_ms / 1_000)
            self.status(state.instrument, state.status)

    def refused(self, reason: str) -> None:
        """Note a message that was refused; the reason is a text, and becomes one of a few words."""
        self._refused.labels(reason_label(reason)).inc()

    def checkpoint(self, table: str, records: Iterable[bytes | None], took_s: float) -> None:
        """Note a checkpoint of a partition."""
        sizes = [len(record) for record in records if record is not None]
        self._checkpoint.labels(table).observe(took_s)
        self._checkpoint_records.labels(table).inc(len(sizes))
        self._checkpoint_bytes.labels(table).inc(sum(sizes))

    def status(self, instrument: str, status: str, now: float | None = None) -> None:
        """Note the status of an owned instrument, to know how long it was without a book."""
        now = time.monotonic() if now is None else now
        if status in ("gap", "resyncing"):
            self._not_live_since.setdefault(instrument, now)
        elif status == "live":
            since = self._not_live_since.pop(instrument, None)
            if since is not None:
                self.resync.observe(now - since)

    def keep(self, instruments: Container[str]) -> None:
        """Forget all others: what is not owned any more is live again on another worker."""
        known: tuple[dict[str, Any], ...] = (self._not_live_since, self._received_ms)
        for of_instrument in known:
            for instrument in [name for name in of_instrument if name not in instruments]:
                del of_instrument[instrument]

    def _add_build_info(self) -> None:
        info = Gauge(
            "steelyard_build_info",
            "1; what runs is in the labels.",
            ["version", "python", "faust", "hot_path"],
            registry=self.registry,
        )
        hot_path = "compiled" if WHAT_RUNS == RUNS_COMPILED else "python"
        info.labels(VERSION, platform.python_version(), version("faust-streaming"), hot_path).set(1)


def reason_label(reason: str) -> str:
    """Return the label of a reason."""
    return next((label for words, label in REFUSED_REASONS.items() if words in reason), OTHER)
