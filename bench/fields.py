"""What each group of fields costs per notification: the domain with it, less the domain without.

`python -m bench fields` measures in a process of its own, as pure Python: nothing can be put in
place of compiled code. That process, `python -m bench.fields ROUNDS RECORDING`, prints JSON.

One instrument's book changes and trades are decoded beforehand; a ticker is put after every tenth
change, since recordings may have none. A group is left out by putting nothing in place of what
computes it, so the numbers of such a run are wrong, and only its time is taken.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest import mock

from app import WHAT_RUNS
from app.embedded_kafka.processes import die_with_parent
from app.hot_path.finder import RUNS_COMPILED, SWITCH
from app.recordings.reader import read_recording
from bench.feeds import EXCERPT, ROOT
from bench.machine import load
from deribit.decode_books_trades import decode
from orderbook.events import Change, Ticker, Trade
from orderbook.instrument import Instrument
from orderbook.windows.span import Span, tumbling

SPANS: Final = tumbling(1_000, 10_000, 60_000)
HOPPING: Final = Span(10_000, 1_000)
ROUNDS: Final = 10
"""The best of so many is taken: whatever else runs on the machine only ever adds."""
CHANGES_PER_TICKER: Final = 10

CHANGE: Final = "change of the book"
TRADES: Final = "notification of trades"
TICKER: Final = "ticker"
WHOLE: Final = "all fields"
BOOK: Final = "the book alone"

Event = Change | Ticker | list[Trade]


def run(*, quick: bool, recording: Path = EXCERPT) -> list[dict[str, Any]]:
    """Return what each group costs, measured as pure Python."""
    command = (sys.executable, "-m", "bench.fields", str(1 if quick else ROUNDS), str(recording))
    measured = subprocess.run(
        command,
        env=os.environ | {SWITCH: "0"},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=die_with_parent(),
    )
    results: list[dict[str, Any]] = json.loads(measured.stdout)
    return results


def costs(recording: Path, rounds: int) -> list[dict[str, Any]]:
    """Measure each group, here."""
    before = load()
    events = list(with_tickers(recording))
    changes = sum(type(event) is Change for event in events)
    books = [event for event in events if type(event) is Change]
    without_trades = [event for event in events if type(event) is not list]
    without_tickers = [event for event in events if type(event) is not Ticker]
    runs: dict[str, Callable[[], float]] = {
        WHOLE: lambda: seconds(events),
        "state: means over time, events": lambda: seconds(events, _STATE),
        "bands: sums near the mid": lambda: seconds(events, _BANDS),
        "flow: ten levels": lambda: seconds(events, _FLOW),
        "closed windows: their records": lambda: seconds(events, _RECORDS),
        "trades": lambda: seconds(without_trades),
        "context": lambda: seconds(without_tickers),
        BOOK: lambda: seconds(books, [*_STATE, *_BANDS, *_FLOW, *_RECORDS]),
        "and hopping windows, 10s/1s": lambda: seconds(events, spans=(*SPANS, HOPPING)),
    }
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):  # in turn, so that a busy moment touches all of them
        for name, run in runs.items():
            best[name] = min(best[name], run())
    whole = best[WHOLE]
    kinds = {
        "trades": (TRADES, len(events) - len(without_trades)),
        "context": (TICKER, len(events) - len(without_tickers)),
    }
    results = []
    for group, spent in best.items():
        alone = spent if group in {WHOLE, BOOK} else abs(whole - spent)
        kind, count = kinds.get(group, (CHANGE, changes))
        results.append(
            {
                "group": group,
                "load_before": before,
                "hot_path": WHAT_RUNS,
                "kind": kind,
                "count": count,
                "cpu_s": round(alone, 3),
                "us_each": round(1e6 * alone / count, 1),
                "share": round(alone / whole, 3),
            }
        )
    return results


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
_WINDOWS: Final = "orderbook.windows"
_BOOK: Final = "orderbook.book"
_STATE: Final[list[Patch]] = [
    (
        f"{_WINDOWS}.time_weighted.TimeWeighted.observe",
        lambda self, bids, asks, now_ms, is_other: None,
    ),
    (f"{_WINDOWS}.time_weighted.TimeWeighted.flush", lambda self, pane, now_ms: None),
]
_BANDS: Final[list[Patch]] = [(f"{_BOOK}.depth_bands.Bands.centre", lambda self, *where: None)]
"""A band that is never centred ends nowhere, so no level is ever added to it."""
_FLOW: Final[list[Patch]] = [
    (f"{_BOOK}.top_levels.TopLevels._add_flow", lambda self, *levels: None)
]
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
    if WHAT_RUNS == RUNS_COMPILED:
        sys.exit(f"bench.fields puts nothing in place of code: run it with {SWITCH}=0")
    rounds, path = sys.argv[1:]
    json.dump(costs(Path(path), int(rounds)), sys.stdout)
