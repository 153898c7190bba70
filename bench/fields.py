"""What each group of fields costs per notification: the domain with it, less the domain without.

    python -m bench.fields [RECORDING]

One instrument's book changes and trades are decoded beforehand; a ticker is put after every tenth
change, since recordings may have none. A group is left out by putting nothing in place of what
computes it, so the numbers of such a run are wrong, and only its time is taken.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest import mock

from app import WHAT_RUNS
from app.compiled import RUNS_COMPILED, SWITCH
from app.recording import read_recording
from bench.machine import in_words
from deribit.messages import decode
from orderbook.events import Change, Ticker, Trade
from orderbook.instrument import Instrument
from orderbook.span import Span, tumbling

EXCERPT: Final = Path(__file__).parents[1] / "tests" / "data" / "coinm-ethusd-excerpt.jsonl.gz"
SPANS: Final = tumbling(1_000, 10_000, 60_000)
HOPPING: Final = Span(10_000, 1_000)
ROUNDS: Final = 5
"""The best of so many is taken: whatever else runs on the machine only ever adds."""
CHANGES_PER_TICKER: Final = 10

Event = Change | Ticker | list[Trade]


def main(recording: Path) -> None:
    """Print a table."""
    if WHAT_RUNS == RUNS_COMPILED:
        sys.exit(f"bench.fields puts nothing in place of code: run it with {SWITCH}=0")
    events = list(with_tickers(recording))
    changes = sum(type(event) is Change for event in events)
    books = [event for event in events if type(event) is Change]
    without_trades = [event for event in events if type(event) is not list]
    without_tickers = [event for event in events if type(event) is not Ticker]
    runs: dict[str, Callable[[], float]] = {
        "all fields": lambda: seconds(events),
        "state: means over time, events": lambda: seconds(events, _STATE),
        "bands: sums near the mid": lambda: seconds(events, _BANDS),
        "flow: ten levels": lambda: seconds(events, _FLOW),
        "closed windows: their records": lambda: seconds(events, _RECORDS),
        "trades": lambda: seconds(without_trades),
        "context": lambda: seconds(without_tickers),
        "the book alone": lambda: seconds(books, [*_STATE, *_BANDS, *_FLOW, *_RECORDS]),
        "and hopping windows, 10s/1s": lambda: seconds(events, spans=(*SPANS, HOPPING)),
    }
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(ROUNDS):  # in turn, so that a busy moment touches all of them
        for name, run in runs.items():
            best[name] = min(best[name], run())
    whole = best["all fields"]
    counts = {
        "trades": len(events) - len(without_trades),
        "context": len(events) - len(without_tickers),
    }
    print(in_words())
    print(
        f"{changes} changes, {counts['trades']} trade notifications, {counts['context']} tickers\n"
    )
    print("| group | µs per notification of its kind | share |\n|---|---|---|")
    for name, spent in best.items():
        alone = spent if name in {"all fields", "the book alone"} else abs(whole - spent)
        each = 1e6 * alone / counts.get(name, changes)
        print(f"| {name} | {each:.1f} | {alone / whole:.0%} |")


def with_tickers(recording: Path) -> Iterator[Event]:
    """Yield the events of a recording of one instrument, and tickers among them."""
    changes = 0
    for _, message, *_ in read_recording(recording):
        decoded = decode(message)
        if decoded is None:
            continue
        event = decoded[1]
        if isinstance(event, Change):
            changes += 1
            yield event
            if changes % CHANGES_PER_TICKER == 0:
                yield Ticker(event.timestamp_ms, 2_682.5, 2_682.25, 1e-5, 1e8)
        elif isinstance(event, list):
            yield event


Patch = tuple[str, Any]
_STATE: Final[list[Patch]] = [
    ("orderbook.meter.Meter.observe", lambda self, bids, asks, now_ms, is_other: None),
    ("orderbook.meter.Meter.flush", lambda self, pane, now_ms: None),
]
_BANDS: Final[list[Patch]] = [("orderbook.bands.Bands.centre", lambda self, *where: None)]
"""A band that is never centred ends nowhere, so no level is ever added to it."""
_FLOW: Final[list[Patch]] = [("orderbook.front.Front._add_flow", lambda self, *levels: None)]
_RECORDS: Final[list[Patch]] = [("orderbook.instrument.window_record", lambda window, **names: {})]


def seconds(
    events: list[Event], without: list[Patch] | None = None, spans: tuple[Span, ...] = SPANS
) -> float:
    """Return the processor time of an instrument that is told all events."""
    with _patched(without or []):
        instrument = Instrument("X", linear=False, spans=spans, grace_ms=250)
        instrument.connect()
        began = time.process_time()
        for event in events:
            if type(event) is Change:
                instrument.change(event)
            elif type(event) is Ticker:
                instrument.see_ticker(event)
            elif type(event) is list:
                instrument.trades(event)
        return time.process_time() - began


@contextmanager
def _patched(patches: list[Patch]) -> Iterator[None]:
    if not patches:
        yield
        return
    (name, value), *rest = patches
    with mock.patch(name, value), _patched(rest):
        yield


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else EXCERPT)
