"""A clock that is set back: stamps go on, and what is measured by them is right."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from app.recordings.compression import Compression
from app.recordings.manifest import tally_of
from app.recordings.segments import Segments
from app.state.live_updates import LiveUpdates
from deribit.client import Client
from deribit.steady_clock import SteadyClock
from tests.recordings.made import START_NS, VENUE, chain

HOUR_S = 3_600


class Machine:
    """A machine's two clocks, of which one can be set."""

    def __init__(self) -> None:
        self.wall_ns = START_NS
        self.monotonic_ns = 77 * 10**9
        self.clock = SteadyClock(lambda: self.wall_ns, lambda: self.monotonic_ns)

    def pass_s(self, seconds: float) -> None:
        self.wall_ns += int(seconds * 1e9)
        self.monotonic_ns += int(seconds * 1e9)

    def set_s(self, seconds: float) -> None:
        self.wall_ns += int(seconds * 1e9)


def test_time_goes_on_where_it_was_and_follows_the_wall_clock_again_when_that_is_ahead() -> None:
    machine = Machine()
    assert machine.clock.time_ns() == START_NS
    machine.pass_s(5)
    machine.clock.time_ns()
    machine.set_s(-HOUR_S)
    machine.pass_s(5)
    assert machine.clock.time_ns() == START_NS + 10 * 10**9
    assert machine.clock.set_back_ns() == HOUR_S * 10**9
    machine.set_s(HOUR_S + 7)
    machine.pass_s(1)
    assert machine.clock.time_ns() == START_NS + 18 * 10**9
    assert machine.clock.set_back_ns() == 0


@pytest.mark.parametrize("set_s", [-30, -HOUR_S, -90 * HOUR_S])
def test_what_a_client_stamps_never_goes_back_and_has_its_right_age(set_s: int) -> None:
    machine = Machine()
    client = Client("ws://127.0.0.1:1", "w", time_ns=machine.clock.time_ns)
    heard = LiveUpdates()
    stamps = []
    for second in range(6):
        stamps.append(client.time_ns())
        now_s, now_ms = machine.monotonic_ns / 1e9, machine.wall_ns // 1_000_000
        heard.hear(stamps[-1] // 1_000_000, now_s=now_s, now_ms=now_ms)
        if second == 3:
            machine.set_s(set_s)
        machine.pass_s(1)
    assert [later - before for before, later in pairwise(stamps)] == [10**9] * 5
    machine.pass_s(7)
    assert heard.age_ms(machine.monotonic_ns / 1e9) == 8_000


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("set_s", [-2, -61, -HOUR_S])
def test_a_recorder_keeps_what_it_promised_though_receive_times_step_back(
    tmp_path: Path, compression: Compression, set_s: int
) -> None:
    """Receive times of another clock: whatever they do, a kill loses at most the last second."""
    lines = chain(90)
    segments = Segments(tmp_path, venue=VENUE, compression=compression)
    for number, message in enumerate(lines):
        received_ns = START_NS + (number + (set_s if number > 40 else 0)) * 10**9
        segments.append([(received_ns, message)])
    assert segments.segment is not None
    segments.segment.abandon()
    segments._unlock()
    found = [tally_of(path, {})[0].counts.lines for path in tmp_path.glob("0*.jsonl*")]
    assert sum(found) >= len(lines) - 1
