"""The oracle's reading of a feed, and the program's, agree on what is told around the market."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from app.processing.processor import Processor
from app.processing.processor import Rules as ProgramRules
from models.frame import (
    Connected,
    Described,
    Disconnected,
    Frame,
    GapFound,
    Item,
    Notification,
    Tick,
    TradesFollowed,
    encode_frame,
)
from models.window import encode_window
from tests.checker.checker import _wrong
from tests.checker.feed import decode
from tests.checker.oracle import Answer, Task, answer
from tests.checker.reading import Rules
from tests.harness.processes import ROOT
from tests.system.chaos.hand import NAME, Session, change, channel_of, snapshot, time_of

LENGTHS_MS = (1_000, 5_000)
Feed = list[Frame]
PACKAGES = {"app", "agents", "models", "orderbook", "deribit", "faust_exact"}
VERIFY = {"app.verify", "app.verify.plain_book", "app.verify.records"}
"""Of the command `verify`; no worker imports them."""


def notification(channel: str, data: object, at: float) -> Notification:
    message = {"method": "subscription", "params": {"channel": channel, "data": data}}
    return Notification(time_of(at) * 10**6, json.dumps(message).encode())


def state(name: str, at: float) -> Notification:
    """Return what the venue says of an instrument's life."""
    data = {"timestamp": time_of(at), "state": name, "instrument_name": NAME}
    return notification("instrument.state.future.any", data, at)


def ticker(at: float) -> Notification:
    data = {"timestamp": time_of(at), "instrument_name": NAME, "mark_price": 100.0}
    return notification(f"ticker.{NAME}.100ms", data, at)


def marked(session: Session, at: float, *items: Item, channel: str = channel_of(NAME)) -> Frame:
    """Return the next frame of a session, with these items."""
    session.sequence += 1
    return Frame(1, NAME, channel, session.name, session.sequence, list(items))


def market(session: Session, first: int, last: int, *, venue: str = "") -> Feed:
    """Return a session that begins with a snapshot, and a change at each step."""
    opening = session.frame(snapshot(first, first), at=first)
    mark = Connected(time_of(first) * 10**6, "hand", False, venue or "deribit")
    opening.items[:0] = [mark, TradesFollowed(time_of(first) * 10**6, True)]
    steps = range(first + 1, last)
    return [opening, *(session.frame(change(n, n - 1, n % 7 + 1.0, n), at=n) for n in steps)]


def ticks(session: Session, first: int, last: int) -> Feed:
    return [session.tick(at) for at in range(first, last, 10)]


def unsubscribed() -> Feed:
    one = Session("s")
    ended = [*market(one, 1, 40), marked(one, 40, Disconnected(0, "unsubscribed"))]
    back = Session("t")
    return [*ended, *ticks(one, 50, 400), *market(back, 500, 540), *ticks(back, 550, 700)]


def delisted_by_state() -> Feed:
    one = Session("s")
    first = market(one, 1, 40)
    gone = marked(one, 40, ticker(39), state("closed", 40))
    return [*first, gone, *ticks(one, 50, 400)]


def reopened() -> Feed:
    one = Session("s")
    first = [*market(one, 1, 40), marked(one, 40, state("closed", 40)), *ticks(one, 50, 90)]
    again = [one.frame(change(n, n - 1, 3.0, n + 55), at=n + 55) for n in range(40, 70)]
    return [*first, marked(one, 90, state("open", 90)), *again, *ticks(one, 140, 300)]


def another_channel() -> Feed:
    one, two = Session("s"), Session("t")
    raw = f"book.{NAME}.raw"
    later = [
        Frame(
            frame.version,
            frame.instrument,
            raw,
            frame.session,
            frame.sequence,
            [
                Notification(item.received_ns, item.message.replace(b".100ms", b".raw"))
                if isinstance(item, Notification)
                else item
                for item in frame.items
            ],
        )
        for frame in market(two, 60, 120)
    ]
    return [*market(one, 1, 50), *later, *ticks(two, 130, 300)]


def another_venue() -> Feed:
    one, two = Session("s"), Session("t")
    first, second = market(one, 1, 50), market(two, 60, 120, venue="deribit-test")
    return [*first, *second, *ticks(two, 130, 300)]


def another_unit() -> Feed:
    one = Session("s")
    first = market(one, 1, 40)
    described = marked(one, 40, Described(0, linear=True))
    again = [one.frame(snapshot(50, 50), at=50)]
    later = [one.frame(change(n, n - 1, 3.0, n), at=n) for n in range(51, 90)]
    return [*first, described, *again, *later, *ticks(one, 100, 250)]


def late_and_lost_frames() -> Feed:
    one, two = Session("s"), Session("t")
    first, second = market(one, 1, 50), market(two, 55, 120)
    late = one.frame(change(50, 49, 3.0, 50), at=50)
    gap = marked(two, 120, GapFound(0, channel_of(NAME), 1, 2))
    return [*first, *second[:9], late, second[8], *second[10:], gap, *ticks(two, 130, 300)]


def silent_socket() -> Feed:
    one = Session("s")
    quiet = [
        Frame(1, "", "", "s", 0, [Tick(0, time_of(at), (at - 50) * 100)])
        for at in range(60, 200, 10)
    ]
    return [*market(one, 1, 50), *quiet, one.tick(210), *ticks(one, 220, 400)]


@pytest.mark.parametrize(
    "feed",
    [
        *(unsubscribed, delisted_by_state, reopened, another_channel, another_venue),
        *(another_unit, late_and_lost_frames, silent_socket),
    ],
    ids=lambda feed: feed.__name__,
)
def test_the_program_publishes_what_the_oracle_expects(feed: Callable[[], Feed]) -> None:
    frames = feed()
    program = Processor(NAME, ProgramRules(LENGTHS_MS, 250, 3_000))
    published = [
        json.loads(encode_window(window))
        for frame in frames
        for window in program.feed(frame).windows
    ]
    task = Task(0, NAME, Rules(LENGTHS_MS, 250, 3_000))
    for offset, frame in enumerate(frames):
        decoded = decode(encode_frame(frame))
        assert decoded is not None
        task.frames.append((offset, decoded))
    found: Answer = answer(task)
    assert len(published) >= 5
    for window, expected in zip(published, found.windows.values(), strict=False):
        assert not _wrong(window, expected), (window["start_ms"], _wrong(window, expected))
    assert len(published) == len(found.windows) + len(found.contradictions)


def test_the_oracle_loads_nothing_of_the_program() -> None:
    """It would be wrong in the same way. Only states of recoveries are the program's own."""
    modules = ("oracle", "undisturbed", "truth", "missing_trades", "served", "report")
    code = "import sys\n" + "".join(f"import tests.checker.{name}\n" for name in modules)
    code += "print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    ours = {name for name in loaded if name.partition(".")[0] in PACKAGES}
    assert ours == {"app", "app.hot_path", "app.hot_path.finder", *VERIFY}, "and no processing"
