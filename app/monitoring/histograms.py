"""Latencies and windows are counted in plain numbers, which become metrics when Prometheus asks.

They are noted for every frame and every window, where the client library's own counters, with a
lock and a look-up of their labels, take four times as long (docs/decisions/0008-compiled.md).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

LATENCY_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
STAGES: Final = ("applied", "window", "live", "pushed")

_BOUNDS: Final = (*map(floatToGoString, LATENCY_S), "+Inf")


class Latency:
    """A histogram of how long a stage took."""

    __slots__ = ("_counts", "_sum_s")

    def __init__(self) -> None:
        self._counts = [0] * len(_BOUNDS)
        """By bucket, each without those below."""
        self._sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Note how long it took once; a bucket includes its bound."""
        self._counts[bisect_left(LATENCY_S, seconds)] += 1
        self._sum_s += seconds

    def add_to(self, family: HistogramMetricFamily, stage: str) -> None:
        """Add the samples of this stage."""
        buckets = list(zip(_BOUNDS, accumulate(self._counts), strict=True))
        family.add_metric([stage], buckets, self._sum_s)


class Latencies(Collector):
    """The latency of each stage, and the windows by their status."""

    def __init__(self) -> None:
        self.stages = {stage: Latency() for stage in STAGES}
        self.windows: Counter[str] = Counter()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as of now."""
        latency = HistogramMetricFamily(
            "steelyard_latency_seconds",
            "Since the venue's message was received, or since a window's end: until it was applied "
            "to the book (applied), published as a window (window) or as a live state (live), or "
            "handed to the streams (pushed).",
            labels=["stage"],
        )
        for stage, counted in self.stages.items():
            counted.add_to(latency, stage)
        yield latency
        windows = CounterMetricFamily(
            "steelyard_windows_published",
            "Windows published, by their status.",
            labels=["status"],
        )
        for status, count in self.windows.items():
            windows.add_metric([status], count)
        yield windows
