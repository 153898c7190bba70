"""The canonical state of an instrument: sorted JSON of all that its future depends on.

Two states are the same if their SHA-256 are.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from app.processing.processor import Processor


def canonical(state: Processor) -> dict[str, Any]:
    """Return session, book, open windows, and the rest of a state."""
    instrument = state.instrument
    return {
        "instrument": state.name,
        "session": state.session,
        "sequence": state.sequence,
        "status": state.status,
        "change_id": instrument.book.change_id,
        "bids": list(instrument.book.bids.levels()),
        "asks": list(instrument.book.asks.levels()),
        "all": state.to_record(),
    }


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
