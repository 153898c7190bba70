"""An instrument that moves between workers and back is live wherever it is."""

from __future__ import annotations

from app.ingest.framing import Framer
from app.processing.processor import Processor, Rules
from models.frame import Frame, Notification, Tick, decode_frame
from tests.system.chaos.hand import NAME, change, channel_of, snapshot

RULES = Rules((1_000,), 250, 3_000)


def framer_of(worker: str) -> Framer:
    framer = Framer(worker, lambda name: 0)
    framer.begin(f"{worker}-1", simulated=True)
    return framer


def say(framer: Framer, message: bytes, at: int) -> None:
    framer.add(NAME, channel_of(NAME), Notification(at, message), at, len(message))


def taken(framer: Framer) -> list[Frame]:
    return [decode_frame(record.value) for record in framer.take()]


def test_an_instrument_that_comes_back_to_its_first_worker_is_live_again() -> None:
    state = Processor(NAME, RULES)
    first, second = framer_of("first"), framer_of("second")
    turns = [first, second, first, second, first]
    late: list[Frame] = []
    for turn, framer in enumerate(turns):
        at = 10 * turn
        say(framer, snapshot(100 * turn + 1, at), at)
        say(framer, change(100 * turn + 2, 100 * turn + 1, 5.0, at + 1), at + 1)
        for frame in taken(framer):
            state.feed(frame)
        assert state.status == "live", f"turn {turn}"
        assert state.instrument.book.change_id == 100 * turn + 2
        for frame in late:  # what the worker before still sends
            state.feed(frame)
        assert state.instrument.book.change_id == 100 * turn + 2
        assert state.status == "live"
        say(framer, change(100 * turn + 3, 100 * turn + 2, 6.0, at + 2), at + 2)
        framer.end(NAME, "moved", at + 3)
        late = taken(framer)


def test_ticks_of_the_connection_count_after_a_return() -> None:
    state = Processor(NAME, RULES)
    framer = framer_of("first")
    say(framer, snapshot(1, 0), 0)
    framer.end(NAME, "moved", 1)
    say(framer, snapshot(5, 20), 20)
    framer.tick([0], Tick(30, 1_700_000_010_000, 0))
    for frame in taken(framer):
        state.feed(frame)
    assert state.session == "first-1+1"
    assert state.instrument.clock_ms == 1_700_000_007_000
