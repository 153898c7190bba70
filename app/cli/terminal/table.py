"""The table of `watch`, without a terminal: rows of a stream, their ages, their last minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from app.cli.terminal.sse import Event
from models.status import STATUSES

SPARK_POINTS: Final = 30
SAMPLE_S: Final = 1.0
SILENT_AFTER_S: Final = 3.0
"""A worker that says nothing for so long is not believed any more; it speaks each second."""
NO_ANSWER: Final = "no answer"
LIVE: Final = "live"
MEASURE: Final = "imbalance_10"
"""What is drawn as a bar and over time."""

_BADNESS: Final = (*STATUSES, NO_ANSWER)


class Order(StrEnum):
    """The orders in which rows can be shown."""

    INSTRUMENT = "instrument"
    IMBALANCE = "imbalance"
    OFI = "ofi"
    AGE = "age"
    QUALITY = "quality"


class Row(NamedTuple):
    """One instrument now; what is not known is None."""

    instrument: str
    status: str
    age_ms: float | None
    fields: dict[str, Any]
    """As the API gives them."""
    past: tuple[float | None, ...]
    """The measure, once a second, the latest last."""


class _Message(msgspec.Struct):
    as_of_ms: int
    worker: str = ""
    whole: bool = False
    states: list[dict[str, Any]] = []
    gone: list[str] = []


_message = msgspec.json.Decoder(_Message)


class Board:
    """The states of all instruments, by a stream that may fall silent. It is told the time."""

    def __init__(self) -> None:
        self.worker = ""
        self.trouble: str | None = None
        """Why the stream is not connected, while it is not."""
        self._states: dict[str, dict[str, Any]] = {}
        self._past: dict[str, deque[float | None]] = {}
        self._as_of_ms = 0
        self._heard_at: float | None = None
        self._sampled_at: float | None = None

    def apply(self, event: Event, now: float) -> None:
        """Take an event of the stream, at a monotonic time in seconds."""
        message = _message.decode(event.data)
        self._heard_at, self._as_of_ms = now, message.as_of_ms
        self.worker, self.trouble = message.worker, None
        if message.whole:
            self._states.clear()
        for state in message.states:
            self._states[state["instrument"]] = state
        for name in message.gone:
            self._states.pop(name, None)

    def sample(self, now: float) -> None:
        """Remember the measure of every instrument, once a second."""
        if self._sampled_at is not None and now - self._sampled_at < SAMPLE_S:
            return
        self._sampled_at = now
        is_silent = self.is_silent(now)
        for name, state in self._states.items():
            past = self._past.setdefault(name, deque(maxlen=SPARK_POINTS))
            is_live = not is_silent and state["status"] == LIVE
            past.append(state.get(MEASURE) if is_live else None)
        for name in self._past.keys() - self._states.keys():
            del self._past[name]

    def is_silent(self, now: float) -> bool:
        """Return whether the worker has said nothing for too long."""
        return self._heard_at is None or now - self._heard_at > SILENT_AFTER_S

    @property
    def is_simulated(self) -> bool:
        """Return whether any instrument comes from a simulated venue."""
        return any(state.get("simulated") for state in self._states.values())

    def rows(self, now: float, order: Order = Order.INSTRUMENT) -> list[Row]:
        """Return the rows in an order."""
        is_silent = self.is_silent(now)
        since_ms = 0.0 if self._heard_at is None else (now - self._heard_at) * 1_000
        rows = []
        for name, state in self._states.items():
            heard_ms = state.get("heard_ms")
            age_ms = None
            if heard_ms is not None:
                age_ms = max(0.0, self._as_of_ms + since_ms - heard_ms)
            status = NO_ANSWER if is_silent else state["status"]
            rows.append(Row(name, status, age_ms, state, tuple(self._past.get(name, ()))))
        return _sorted(rows, order)


def _sorted(rows: Iterable[Row], order: Order) -> list[Row]:
    """Return rows with what is most worth a look first; equals by name, the unknown last."""
    by_name = sorted(rows, key=lambda row: row.instrument)
    match order:
        case Order.IMBALANCE:
            return sorted(by_name, key=lambda row: _descending(row.fields.get(MEASURE)))
        case Order.OFI:
            return sorted(by_name, key=lambda row: _descending(row.fields.get("ofi_usd")))
        case Order.AGE:
            return sorted(by_name, key=lambda row: _descending(row.age_ms))
        case Order.QUALITY:
            return sorted(by_name, key=lambda row: -_badness(row.status))
        case Order.INSTRUMENT:
            return by_name


def _descending(value: float | None) -> tuple[bool, float]:
    return (True, 0.0) if value is None else (False, -abs(value))


def _badness(status: str) -> int:
    return _BADNESS.index(status) if status in _BADNESS else len(_BADNESS)
