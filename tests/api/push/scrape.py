"""A worker's own figures, read from /metrics: now, and the difference of two moments."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from app.cli.local_worker import open_direct

SAMPLE = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="([^"]*)"')
TIMEOUT_S = 10.0
MEMORY = "process_resident_memory_bytes"

Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class Scrape:
    """All samples of one moment."""

    at: float
    values: dict[Key, float]

    def value(self, name: str, **labels: str) -> float:
        """Return a sample; raise LookupError if there is none."""
        try:
            return self.values[name, tuple(sorted(labels.items()))]
        except KeyError:
            raise LookupError(f"/metrics has no {name}{labels or ''}") from None

    def total(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        return sum(value for (each, _), value in self.values.items() if each == name)


def scrape(url: str) -> Scrape:
    """Ask a worker."""
    with open_direct(f"{url}/metrics", TIMEOUT_S) as answer:
        text = answer.read().decode()
    values = {}
    for line in text.splitlines():
        found = SAMPLE.match(line)
        if found is not None:
            values[found[1], tuple(sorted(LABEL.findall(found[2] or "")))] = float(found[3])
    return Scrape(time.monotonic(), values)


def rate(before: Scrape, after: Scrape, name: str) -> float:
    """Return by how much a counter grew per second, over all its labels."""
    return (after.total(name) - before.total(name)) / (after.at - before.at)


def quantile_s(before: Scrape, after: Scrape, name: str, share: float, **labels: str) -> float:
    """Return a quantile of what a histogram has counted meanwhile: the upper end of its bucket."""
    wanted = set(labels.items())
    counts: dict[float, float] = {}
    for (each, found), value in after.values.items():
        if each == f"{name}_bucket" and wanted <= set(found):
            bound = float(dict(found)["le"])
            counts[bound] = counts.get(bound, 0.0) + value - before.values.get((each, found), 0.0)
    whole = counts.get(inf, 0.0)
    return min((bound for bound, count in counts.items() if count >= share * whole), default=inf)


def most(samples: Iterable[Scrape], name: str, **labels: str) -> float:
    """Return the greatest value of a gauge."""
    return max(each.value(name, **labels) for each in samples)
