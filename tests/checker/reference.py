"""A sample of instruments is computed again by the reference: other code, exact arithmetic, slow.

The feed's frames are turned into the reference's items here, by the rules of the frame alone:
numbers within a session, the current session, what a late frame of an ended one is worth.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from app.processing.processor import Rules
from app.verify.records import Record
from app.verify.report import Report
from models.frame import (
    Connected,
    Disconnected,
    Frame,
    GapFound,
    Notification,
    Tick,
    TradesFollowed,
    decode_frame,
)
from models.window import encode_window
from tests.checker.oracle import WindowKey, window_key
from tests.reference.windows import published, reference_windows

MAX_ITEMS: Final = 4_000
"""Of one instrument: the reference's cost grows with the square of what it is given."""

Item = tuple[Any, ...]


def compare_reference(
    feed: Sequence[Record],
    windows: dict[WindowKey, bytes],
    rules: Rules,
    report: Report,
    *,
    seed: int,
    budget_s: float,
) -> None:
    """Compare published windows with the reference's, instrument by instrument, while time is left.

    The order is drawn from the seed.
    """
    frames = _frames(feed)
    names = sorted(frames)
    random.Random(seed).shuffle(names)
    deadline = time.monotonic() + budget_s
    for name in names:
        if time.monotonic() > deadline:
            return
        for channel, venue, items in _by_channel(name, frames[name]):
            for window in reference_windows(
                items[:MAX_ITEMS],
                instrument=name,
                channel=channel,
                venue=venue,
                lengths_ms=rules.lengths_ms,
                hopping=rules.hopping,
                grace_ms=rules.grace_ms,
            ):
                _compare(published(window), windows, report)


def _compare(window: dict[str, Any], windows: dict[WindowKey, bytes], report: Report) -> None:
    key = window_key(window)
    found = windows.get(key)
    if found is None:
        return  # counted as lost by the oracle, which knows what was closed
    report.count("reference_windows")
    if found != encode_window(window):
        report.dup_effect += 1
        report.name("dup_effect", f"{tuple(key)} differs from the reference's")


def _frames(feed: Iterable[Record]) -> dict[str, list[Frame]]:
    """Return the frames about each instrument, those of ticks included."""
    frames: dict[str, list[Frame]] = {}
    partition_of: dict[str, int] = {}
    for record in feed:
        try:
            frame = decode_frame(record.value or b"")
        except ValueError:
            continue
        if frame.sequence:
            partition_of.setdefault(frame.instrument, record.partition)
            frames.setdefault(frame.instrument, []).append(frame)
        else:
            for name, partition in partition_of.items():
                if partition == record.partition:
                    frames[name].append(frame)
    return frames


def _by_channel(name: str, frames: Sequence[Frame]) -> Iterable[tuple[str, str | None, list[Item]]]:
    """Yield book channel, venue and items; an instrument that changed one of these is left out."""
    channels = {frame.channel for frame in frames if frame.sequence}
    marks = [item for frame in frames for item in frame.items if isinstance(item, Connected)]
    venues = {mark.venue or ("simulated" if mark.simulated else None) for mark in marks}
    if len(channels) == 1 and len(venues) <= 1:
        yield channels.pop(), next(iter(venues), None), list(items_of(frames))


def items_of(frames: Iterable[Frame]) -> Iterable[Item]:
    """Yield the reference's items of one instrument's frames."""
    session, ended, number = "", set[str](), 0
    for frame in frames:
        if not frame.sequence:
            if frame.session == session.partition("+")[0]:
                for tick in frame.items:
                    assert isinstance(tick, Tick)
                    yield "tick", tick.venue_ms, tick.quiet_ms
            continue
        if frame.session in ended:
            continue
        if frame.session != session:
            ended.add(session)
            session, number = frame.session, 0
            yield ("connected",)
        if frame.sequence <= number:
            continue
        if frame.sequence != number + 1:
            yield ("gap",)
        number = frame.sequence
        for item in frame.items:
            match item:
                case Notification(received_ns, message):
                    yield "message", received_ns, message
                case Disconnected():
                    yield ("disconnected",)
                case GapFound():
                    yield ("gap",)
                case TradesFollowed(_, is_followed):
                    yield "trades_followed", is_followed
                case Tick(_, venue_ms, quiet_ms):
                    yield "tick", venue_ms, quiet_ms
                case Connected():
                    pass  # of the same session: the instrument moved away and came back
