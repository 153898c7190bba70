"""Answers of the views against the oracle's book as of the change_id that they name.

The numbers are computed here from the levels alone, by fractions; an answer that says it is not
live is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, NamedTuple

from tests.checker.oracle import Answer, Seen
from tests.checker.report import Report

UNIT: Final = 10**8
"""Levels are in units of 1e-8."""
LATE_MS: Final = 1_000
"""So much later than `stale_after` an answer may still say live: two clocks, and one poll."""
BANDS: Final = {
    "10bp": Fraction(10, 10_000),
    "25bp": Fraction(25, 10_000),
    "50bp": Fraction(50, 10_000),
}
DEPTHS: Final = {"1": 1, "5": 5, "10": 10}

Level = tuple[int, int]


class Sample(NamedTuple):
    """One answer: what was asked, and the parts that matter."""

    at_ms: int
    """When it was answered, by the clock of who answered."""
    url: str
    status: str
    instrument: str
    change_id: int | None
    body: dict[str, Any]
    """Of a book `bids` and `asks`; of a row all its fields."""


def samples_of(url: str, answer: dict[str, Any]) -> Iterator[Sample]:
    """Yield the samples in an answer of /v1/books/… or /v1/imbalance."""
    data, meta = answer["data"], answer["meta"]
    at_ms = meta["as_of_ms"]
    if isinstance(data, list):
        for row in data:
            status, change_id = row["status"], row["change_id"]
            yield Sample(at_ms, url, status, row["instrument"], change_id, row)
    else:
        yield Sample(at_ms, url, meta["status"], data["instrument"], meta["change_id"], data)


@dataclass(slots=True)
class Served:
    """Samples to be compared, and the books that they could be about."""

    samples: Sequence[Sample]
    stale_after_ms: int
    _answers: dict[str, Answer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.samples = [sample for sample in self.samples if sample.status == "live"]

    def wanted(self, instrument: str) -> set[int]:
        """Return the changes after which samples want to know the book."""
        ids = {each.change_id for each in self.samples if each.instrument == instrument}
        return {change_id for change_id in ids if change_id is not None}

    def take(self, answers: Iterable[Answer]) -> None:
        """Take the oracle's answers, which have the books."""
        self._answers = {each.key[1]: each for each in answers}

    def compare(self, report: Report) -> None:
        """Count the answers that were marked live and are wrong."""
        for sample in self.samples:
            report.count("answers")
            if (why := self._wrong(sample)) is not None:
                report.wrong_served += 1
                asked = f"{sample.url} at {sample.at_ms}"
                report.name("wrong_served", f"{sample.instrument} of {asked}: {why}")

    def _wrong(self, sample: Sample) -> str | None:
        if sample.change_id is None:
            return "live without a change_id"
        answer = self._answers.get(sample.instrument)
        books = [
            book
            for book in (answer.books if answer is not None else ())
            if book.is_live and book.change_id == sample.change_id
        ]
        if answer is None or not books:
            return f"change {sample.change_id} was never live"
        problems = [self._compare_one(sample, book) for book in books]
        return None if None in problems else problems[-1]

    def _compare_one(self, sample: Sample, state: Seen) -> str | None:
        body = sample.body
        if "bids" in body:
            depth = body["depth"]
            for side, levels in (("bids", state.bids), ("asks", state.asks)):
                expected = [[price / UNIT, size / UNIT] for price, size in levels[:depth]]
                if [list(level) for level in body[side] or ()] != expected:
                    return f"the {side} of change {sample.change_id} differ"
            if (body["bid_levels"], body["ask_levels"]) != (len(state.bids), len(state.asks)):
                return f"the number of levels of change {sample.change_id} differs"
        else:
            for name, number in numbers(state.bids, state.asks).items():
                if body[name] != number:
                    return f"{name} of change {sample.change_id} is {body[name]}, not {number}"
        late_ms = self.stale_after_ms + LATE_MS
        until_ms = state.superseded_ms
        if until_ms is not None and sample.at_ms > until_ms + late_ms:
            return f"live {sample.at_ms - until_ms} ms after the book had moved on"
        return None


def numbers(bids: tuple[Level, ...], asks: tuple[Level, ...]) -> dict[str, float | None]:
    """Return the fields of a row that follow from the levels."""
    if not bids or not asks:
        return {"best_bid": None, "best_ask": None, "mid": None}
    (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
    mid = Fraction(bid + ask, 2)
    fields: dict[str, float | None] = {
        "best_bid": bid / UNIT,
        "best_bid_size": bid_size / UNIT,
        "best_ask": ask / UNIT,
        "best_ask_size": ask_size / UNIT,
        "mid": float(mid / UNIT),
        "weighted_mid": float(
            Fraction(ask * bid_size + bid * ask_size, (bid_size + ask_size) * UNIT)
        ),
    }
    for name, depth in DEPTHS.items():
        fields[f"imbalance_{name}"] = _imbalance(bids[:depth], asks[:depth])
    for name, share in BANDS.items():
        near_bids = [level for level in bids if level[0] > mid * (1 - share)]
        near_asks = [level for level in asks if level[0] < mid * (1 + share)]
        fields[f"imbalance_{name}"] = _imbalance(near_bids, near_asks)
    return fields


def _imbalance(bids: Iterable[Level], asks: Iterable[Level]) -> float | None:
    bid, ask = sum(size for _, size in bids), sum(size for _, size in asks)
    return float(Fraction(bid - ask, bid + ask)) if bid + ask else None
