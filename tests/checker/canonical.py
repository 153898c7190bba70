"""A recovered state as the checker compares it; two are the same if their SHA-256 are.

Here the program runs, because it is what is looked at: what a worker that loads this record would
say of the book, and publish of the windows that have begun.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from app.processing.processor import Processor
from models.frame import FRAME_VERSION, Frame, Tick, connection_of
from models.window import encode_window

TICK_LAG_MS: Final = 3_000
FRAMES: Final = ("duplicate_frames", "frames_of_ended_sessions", "lost_frames")


def canonical(state: Processor) -> dict[str, Any]:
    """Return session, book, counts of frames, and the windows that time closes: the state has
    then moved on."""
    book, is_live = state.instrument.book, state.status == "live"
    return {
        "session": state.session,
        "sequence": state.sequence,
        "is_live": is_live,
        "change_id": book.change_id if is_live else None,
        "bids": tuple(book.bids.levels()) if is_live else (),
        "asks": tuple(book.asks.levels()) if is_live else (),
        "frames": {name: state.counts[name] for name in FRAMES if state.counts[name]},
        "upcoming": _upcoming(state),
    }


def _upcoming(state: Processor) -> list[dict[str, Any]]:
    clock_ms = state.instrument.clock_ms
    if clock_ms is None:
        return []
    longest_ms = max(span.length_ms for span in state.rules.spans)
    venue_ms = clock_ms + longest_ms + state.rules.grace_ms + TICK_LAG_MS
    tick = Frame(FRAME_VERSION, "", "", connection_of(state.session), 0, [Tick(0, venue_ms, 0)])
    windows = state.feed(tick).windows
    return [json.loads(encode_window(window)) for window in windows]


def digest(value: object) -> str:
    """Return the SHA-256 of a value's sorted JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def differences(ours: dict[str, Any], oracle: dict[str, Any]) -> str:
    """Say which parts of two canonical states differ, and how where it is short."""
    parts = []
    for name in oracle:
        if digest(ours[name]) != digest(oracle[name]):
            pair = f"{ours[name]!r} is not {oracle[name]!r}"
            parts.append(f"{name}: {pair}" if len(pair) <= 120 else name)
    return "; ".join(parts)
