"""A `Serving` without Faust: real books and windows, computed from the recording in tests/data."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from aiohttp import web

from app.api.push.hub import Hub
from app.api.server import Runner
from app.api.site import Limits, install
from app.processing.processor import Processor, Rules
from app.recordings.reader import read_recording
from app.state.live_state import live_state
from app.state.read_model import BookView, Owner, Readiness
from models.frame import FRAME_VERSION, Connected, Frame, Notification
from models.live import LiveState
from models.window import encode_window
from orderbook.units import UNIT
from orderbook.windows.span import Span

RECORDING = Path(__file__).parents[1] / "data" / "coinm-ethusd-excerpt.jsonl.gz"
RECORDED_NAME = b"ETH-PERPETUAL"
BOOK = b'"book.'
LENGTHS_MS = (1_000, 10_000, 60_000)
RULES = Rules(LENGTHS_MS, 250, 3_000, (Span(10_000, 1_000),))
SESSION = "recorded-1"
PARTITIONS = 8


@lru_cache(maxsize=1)
def recorded_lines() -> list[tuple[int, bytes]]:
    """Return the recording's lines."""
    return list(read_recording(RECORDING))


def live_of(name: str, **changed: Any) -> LiveState:
    """Return the state of an instrument that is live, as of the first millisecond ever."""
    fields: dict[str, Any] = {
        "channel": f"book.{name}.100ms",
        "status": "live",
        "simulated": True,
        "worker": "worker-1",
        "partition": 3,
        "change_id": 1,
        "venue_ts_ms": 1,
        "clock_ms": 1,
        "received_ms": 1,
        "published_ms": 1,
    }
    return LiveState(instrument=name, **fields | changed)


class RecordedServing:
    """The read side of a worker whose instruments are all made of the one recording."""

    def __init__(self, worker: str = "worker-1", *, simulated: bool = False) -> None:
        self.worker = worker
        self.secret = f"the secret of {worker}"
        self.simulated = simulated
        self.lengths_ms = LENGTHS_MS
        self.kept_windows = 3_600
        self.hopping = RULES.hopping
        self.stale_after_ms = RULES.stale_after_ms
        self.clock_ms = 0
        """The wall clock that the answers are given by."""
        self.owners: dict[str, Owner] = {}
        """Instruments that this worker does not own."""
        self.faults: list[str] = []
        """Why this worker is not ready."""
        self.knows_states = True
        """False: it has just started."""
        self.processors: dict[str, Processor] = {}
        self.closed: dict[tuple[str, int, int | None], list[tuple[int, bytes]]] = {}
        self.last_window: dict[str, dict[str, object]] = {}
        self._unread: dict[str, Iterator[tuple[int, bytes]]] = {}

    def add(self, name: str, messages: int, *, drop: int | None = None) -> Processor:
        """Make an instrument of the recording's first messages.

        `drop`: from this message on, the first change of the book is left out.
        """
        processor = self.processors[name] = Processor(name, RULES)
        processor.feed(self._frame(processor, [Connected(0, self.worker, self.simulated)]))
        lines = list(recorded_lines())
        if drop is not None:
            del lines[next(n for n, (_, line) in enumerate(lines) if n >= drop and BOOK in line)]
        self._unread[name] = iter(lines)
        self.play(name, messages)
        return processor

    def play(self, name: str, messages: int) -> None:
        """Feed an instrument with the next messages of the recording."""
        processor = self.processors[name]
        for received_ns, message in islice(self._unread[name], messages):
            renamed = message.replace(RECORDED_NAME, name.encode())
            outcome = processor.feed(self._frame(processor, [Notification(received_ns, renamed)]))
            self.keep(name, outcome.windows)
            self.clock_ms = max(self.clock_ms, received_ns // 1_000_000 + 100)

    def keep(self, name: str, records: list[dict[str, object]]) -> None:
        """Keep windows that have closed, as the history does."""
        for record in records:
            length_ms, hop_ms = record["length_ms"], record.get("hop_ms")
            windows = self.closed.setdefault((name, length_ms, hop_ms), [])
            windows.append((record["start_ms"], encode_window(record)))
            if length_ms == LENGTHS_MS[0] and hop_ms is None:
                self.last_window[name] = record

    @staticmethod
    def _frame(processor: Processor, items: list[Connected | Notification]) -> Frame:
        channel = f"book.{processor.name}.raw"
        number = processor.sequence + 1
        return Frame(FRAME_VERSION, processor.name, channel, SESSION, number, list(items))

    def now_ms(self) -> int:
        return self.clock_ms

    def states(self) -> dict[str, LiveState]:
        return {name: self._state(processor) for name, processor in self.processors.items()}

    def status_of(self, state: LiveState) -> str:
        is_old = self.clock_ms - state.received_ms > self.stale_after_ms
        return "stale" if is_old and state.status == "live" else state.status

    def age_ms(self, state: LiveState) -> int | None:
        return max(0, self.clock_ms - state.received_ms) if state.received_ms else None

    def owner(self, instrument: str) -> Owner:
        partition = sorted(self.processors).index(instrument) % PARTITIONS
        return self.owners.get(instrument, Owner(partition, None))

    def book(self, instrument: str, depth: int) -> BookView | None:
        processor = self.processors[instrument]
        book = processor.instrument.book
        if book.change_id is None:
            return None
        state = self._state(processor)
        state.status = self.status_of(state)
        return BookView(
            state,
            [(price / UNIT, size / UNIT) for price, size in book.bids.top(depth)],
            [(price / UNIT, size / UNIT) for price, size in book.asks.top(depth)],
            len(book.bids),
            len(book.asks),
            age_ms=self.age_ms(state),
        )

    def windows(
        self, instrument: str, span: Span, from_ms: int, to_ms: int, limit: int
    ) -> list[bytes]:
        hop_ms = span.hop_ms if span.is_hopping else None
        windows = self.closed.get((instrument, span.length_ms, hop_ms), [])
        return [window for start, window in windows if from_ms <= start < to_ms][-limit:]

    def kept_from_ms(self, instrument: str, span: Span) -> int | None:
        hop_ms = span.hop_ms if span.is_hopping else None
        windows = self.closed.get((instrument, span.length_ms, hop_ms), [])
        return min((start for start, _ in windows), default=None)

    def readiness(self) -> Readiness:
        return Readiness(not self.faults, self.faults, {"instruments": len(self.processors)})

    def _state(self, processor: Processor) -> LiveState:
        name = processor.name
        received_ms = processor.received_ns // 1_000_000
        partition = self.owner(name).partition
        state = live_state(processor, partition, self.last_window.get(name), received_ms)
        state.simulated, state.worker = self.simulated, self.worker
        return state


@asynccontextmanager
async def served(
    serving: RecordedServing, port: int = 0, limits: Limits | None = None
) -> AsyncIterator[str]:
    """Serve the views on a free port of loopback; give the base URL."""
    async with served_with_hub(serving, port, limits) as (url, _):
        yield url


@asynccontextmanager
async def served_with_hub(
    serving: RecordedServing, port: int = 0, limits: Limits | None = None
) -> AsyncIterator[tuple[str, Hub]]:
    """Serve the views; give the base URL, and the hub of the streams."""
    application = web.Application()
    hub = install(application, serving, limits)
    runner = Runner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", hub
    finally:
        await runner.cleanup()
