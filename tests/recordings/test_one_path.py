"""The same arrivals lead to the same bytes: live, recorded and computed, recorded and replayed.

What is drawn is what a client of the venue hears, in any order: who speaks first, silence, quiet
sockets, gaps, disconnects, announcements. `HYPOTHESIS_PROFILE=thorough` draws far more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.ingest.service import Ingest
from app.processing.processor import Processor, Rules
from app.recordings.channel_selection import ChannelSelection
from app.recordings.compute import compute
from app.recordings.recorder import Recorder
from app.recordings.segments import Line
from app.recordings.to_frames import FrameWriter
from deribit import events
from deribit.client import Client, Stamped
from deribit.vocabulary import INSTRUMENT_STATE, PLATFORM_STATE, venue_channel
from models.frame import Frame, decode_frame
from models.window import encode_window
from tests.recordings.made import START_NS, notification

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
PROFILE = settings(
    max_examples=3_000 if THOROUGH else 150,
    derandomize=not THOROUGH,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
RULES = Rules((1_000, 10_000), 250, 3_000)
NAMES = ("BTC-PERPETUAL", "SOL_USDC-PERPETUAL")
KINDS = ("book", "trades", "ticker", PLATFORM_STATE, INSTRUMENT_STATE)
URL = "ws://127.0.0.1:1/ws/api/v2"

STEPS = (
    *("change",) * 8,
    *("wait",) * 3,
    *("trade", "ticker", "tick", "quiet") * 2,
    *("snapshot", "gap", "trades_gap", "lost_trade", "locked", "halted", "described", "refused"),
    *("disconnect", "disconnect_and_wait"),
)
steps = st.lists(
    st.tuples(st.sampled_from(STEPS), st.sampled_from(NAMES), st.integers(0, 25)), max_size=60
)


class Heard:
    """What a client hears, with a clock that moves on as it is told."""

    def __init__(self) -> None:
        self.events: list[Stamped] = []
        self.now_ms = START_NS // 1_000_000
        self.session = 0
        self.change_ids = dict.fromkeys(NAMES, 100)
        self.trades = dict.fromkeys(NAMES, 1)
        self.ticks = dict.fromkeys(NAMES, 0.5)
        self.connect()

    def play(self, drawn: Iterable[tuple[str, str, int]]) -> list[Stamped]:
        for kind, name, number in drawn:
            self.pass_ms(number * 7)
            getattr(self, kind)(name, number)
        return self.events

    def add(self, event: events.Event, after_ns: int = 0) -> None:
        self.events.append((self.now_ms * 1_000_000 + 40_000_000 + after_ns, event))

    def say(self, channel: str, data: Any, instrument: str) -> None:
        self.add(events.Notification(channel, instrument, notification(channel, data)))

    def pass_ms(self, passed_ms: int) -> None:
        self.now_ms += passed_ms

    def connect(self) -> None:
        self.session += 1
        self.add(events.Connected(True, f"s{self.session}"))

    # Steps

    def subscribed(self, name: str, number: int) -> None:
        self.add(events.Subscribed((book_of(name), f"trades.{name}.100ms", f"ticker.{name}.100ms")))

    def snapshot(self, name: str, number: int) -> None:
        self.change_ids[name] += 1
        levels = {"bids": [["new", 100.0, 10.0 + number]], "asks": [["new", 101.0, 20.0]]}
        self.book(name, {"type": "snapshot"} | levels)

    def change(self, name: str, number: int) -> None:
        before = self.change_ids[name]
        self.change_ids[name] += 1
        level = ["change", 100.0, 10.0 + number]
        self.book(name, {"type": "change", "prev_change_id": before, "bids": [level], "asks": []})

    def refused(self, name: str, number: int) -> None:
        self.change_ids[name] += 1
        self.book(name, {"type": "change", "prev_change_id": 1, "bids": [["new", 0, 1]]})

    def book(self, name: str, data: dict[str, Any]) -> None:
        known = {"timestamp": self.now_ms, "change_id": self.change_ids[name]}
        self.say(book_of(name), data | known | {"instrument_name": name}, name)

    def trade(self, name: str, number: int) -> None:
        self.trades[name] += 1
        trade = {
            "timestamp": self.now_ms - 10 * number,
            "price": 100.5,
            "amount": 10.0,
            "direction": "buy" if number % 2 else "sell",
            "instrument_name": name,
            "trade_seq": self.trades[name],
        }
        self.say(f"trades.{name}.100ms", [trade], name)

    def lost_trade(self, name: str, number: int) -> None:
        self.trades[name] += number
        self.trade(name, number)

    def ticker(self, name: str, number: int) -> None:
        data = {
            "timestamp": self.now_ms,
            "instrument_name": name,
            "state": "open",
            "mark_price": 100.0 + number,
            "index_price": 100.5,
            "open_interest": 1_000.0 + number,
            "funding_8h": 1e-5,
        }
        self.say(f"ticker.{name}.100ms", data, name)

    def tick(self, name: str, number: int) -> None:
        self.add(events.Tick(self.now_ms, 0))

    def quiet(self, name: str, number: int) -> None:
        """Nothing comes, no answer either: the venue's clock is not known to go on."""
        told_ms = self.now_ms
        for quiet_ms in range(1_500, 1_500 + 500 * number, 500):
            self.pass_ms(500)
            self.add(events.Tick(told_ms, quiet_ms))

    def wait(self, name: str, number: int) -> None:
        """Nothing comes but answers."""
        for _ in range(number):
            self.pass_ms(1_000)
            self.add(events.Tick(self.now_ms, 0))

    def gap(self, name: str, number: int) -> None:
        self.add(events.GapFound(book_of(name), name, self.change_ids[name], None))

    def trades_gap(self, name: str, number: int) -> None:
        self.add(events.GapFound(f"trades.{name}.100ms", name, None, None))

    def locked(self, name: str, number: int) -> None:
        data = {"price_index": "btc_usd", "locked": number % 2 == 0}
        self.say(PLATFORM_STATE, data, "")

    def halted(self, name: str, number: int) -> None:
        state = ("halted", "open", "closed")[number % 3]
        data = {"timestamp": self.now_ms, "instrument_name": name, "state": state}
        self.say(venue_channel(INSTRUMENT_STATE), data, name)

    def described(self, name: str, number: int) -> None:
        """The venue lists all that it has; the tick of one is another."""
        self.ticks[name] = 0.5 + number % 2
        kinds = {each: "linear" if "_" in each else "reversed" for each in NAMES}
        listed = (
            events.Instrument(each, instrument_type=kinds[each], tick_size=self.ticks[each])
            for each in NAMES
        )
        self.add(events.Instruments(tuple(listed)))

    def disconnect(self, name: str, number: int) -> None:
        self.add(events.Disconnected("reset", ""))
        self.pass_ms(100)
        self.connect()
        for each in NAMES:
            self.subscribed(each, 0)
        if number % 2:
            self.snapshot(name, number)

    def disconnect_and_wait(self, name: str, number: int) -> None:
        self.add(events.Disconnected("reset", ""))
        self.add(events.Disconnected("refused", ""))
        self.pass_ms(1_000 * number)
        self.connect()
        self.subscribed(name, 0)


def book_of(name: str) -> str:
    return f"book.{name}.100ms"


async def unheard(*_: Any) -> Any:
    raise AssertionError("nothing is published")


def live_frames(arrivals: list[Stamped], cuts: list[int]) -> list[Frame]:
    """Return the frames that ingest makes of arrivals that are consumed in several turns."""
    ingest = Ingest(
        Client(URL, "w"),
        worker="w",
        publish=unheard,
        publish_refused=unheard,
        partition_of=lambda name: 0,
        instruments=NAMES,
        kinds=KINDS,
    )
    ingest.wanted.partitions = frozenset((0,))
    ingest._choose("moved")
    (connection,) = ingest.connections
    frames = []
    for start, end in zip([0, *cuts], [*cuts, len(arrivals)], strict=True):
        connection.handle(arrivals[start:end])
        frames += [decode_frame(record.value) for record in ingest.outbox.take()]
    return frames


def recorded(arrivals: list[Stamped], cuts: list[int]) -> list[Line]:
    """Return the lines that the recorder writes of arrivals."""
    choice = ChannelSelection.parse(KINDS, NAMES, "100ms")
    segments: Any = SimpleNamespace(simulated=None)
    recorder = Recorder(Client(URL, "r"), choice, segments, lambda said: None)
    recorder._choose()
    lines: list[Line] = []
    for start, end in zip([0, *cuts], [*cuts, len(arrivals)], strict=True):
        lines += recorder.lines_of(arrivals[start:end])
    return lines


def windows_of(frames: Iterable[Frame]) -> dict[str, list[bytes]]:
    """Return the windows of frames as a partition of the feed holds them, by instrument."""
    states: dict[str, Processor] = {}
    found: dict[str, list[bytes]] = {}
    for frame in frames:
        if frame.sequence:
            names = [frame.instrument]
            states.setdefault(frame.instrument, Processor(frame.instrument, RULES))
        else:
            names = list(states)
        for name in names:
            windows = states[name].feed(frame).windows
            found.setdefault(name, []).extend(encode_window(window) for window in windows)
    return {name: windows for name, windows in found.items() if windows}


def replayed(lines: list[Line], cuts: list[int]) -> list[Frame]:
    """Return the frames of a replay, which is paced anyhow."""
    writer, frames = FrameWriter("replay", "replay"), []
    for number, line in enumerate(lines):
        if number in cuts:
            frames += writer.flush()
        frames += writer.add(*line)
    return frames + writer.flush()


def computed(lines: list[Line]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for window in compute(lines, RULES):
        found.setdefault(window["instrument"], []).append(encode_window(window))
    return found


def cut(places: list[int], length: int) -> list[int]:
    return sorted({place % (length + 1) for place in places})


@PROFILE
@given(
    drawn=steps,
    subscribed_at=st.integers(0, 8),
    turns=st.lists(st.integers(0, 200), max_size=6),
    pauses=st.lists(st.integers(0, 200), max_size=6),
)
@example(drawn=[("ticker", NAMES[0], 1)], subscribed_at=8, turns=[], pauses=[])
@example(
    drawn=[("lost_trade", NAMES[0], 3), ("snapshot", NAMES[0], 0)] * 3,
    subscribed_at=0,
    turns=[1],
    pauses=[2],
)
def test_live_replay_and_compute_agree_byte_for_byte(
    drawn: list[tuple[str, str, int]], subscribed_at: int, turns: list[int], pauses: list[int]
) -> None:
    opening = [("subscribed", name, 0) for name in NAMES]
    closing = [("snapshot", name, 1) for name in NAMES] + [("wait", NAMES[0], 15)]
    subscribed_at = min(subscribed_at, len(drawn))
    drawn = [*drawn[:subscribed_at], *opening, *drawn[subscribed_at:], *closing]
    arrivals = Heard().play(drawn)
    live = windows_of(live_frames(arrivals, cut(turns, len(arrivals))))
    lines = recorded(arrivals, cut(turns, len(arrivals)))
    ours = computed(lines)
    assert ours == windows_of(replayed(lines, cut(pauses, len(lines))))
    assert ours == live
    assert set(ours) == set(NAMES)
