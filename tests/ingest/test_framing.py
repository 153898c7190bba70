"""Frames: in order, numbered without a hole, bounded, and never overtaking a tick."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ingest.framing import Framer, Record
from models.frame import (
    MAX_FRAME_BYTES,
    MAX_FRAME_ITEMS,
    Connected,
    Disconnected,
    Frame,
    Notification,
    Tick,
    connection_of,
    decode_frame,
)

BTC, ETH = "BTC-PERPETUAL", "ETH-PERPETUAL"


def partition_of(instrument: str) -> int:
    return {BTC: 0, ETH: 1}[instrument]


@pytest.fixture
def framer() -> Framer:
    framer = Framer("worker-1", partition_of)
    framer.begin("s1", simulated=True)
    return framer


def channel(instrument: str) -> str:
    return f"book.{instrument}.100ms"


def add(framer: Framer, instrument: str, received_ns: int, message: bytes = b"{}") -> None:
    item = Notification(received_ns, message)
    framer.add(instrument, channel(instrument), item, received_ns, len(message))


def frames(records: list[Record]) -> list[Frame]:
    return [decode_frame(record.value) for record in records]


def test_the_first_item_of_a_session_is_connected(framer: Framer) -> None:
    add(framer, BTC, 1)
    add(framer, BTC, 2)
    (record,) = framer.take()
    assert (record.key, record.partition) == (BTC.encode(), 0)
    frame = decode_frame(record.value)
    assert (frame.instrument, frame.channel) == (BTC, channel(BTC))
    assert (frame.session, frame.sequence) == ("s1", 1)
    assert frame.items == [
        Connected(1, "worker-1", True),
        Notification(1, b"{}"),
        Notification(2, b"{}"),
    ]
    assert framer.take() == []


def test_a_tick_stands_between_what_came_before_and_after(framer: Framer) -> None:
    add(framer, BTC, 1)
    framer.tick([1, 0], Tick(2, 2, 0))
    add(framer, BTC, 3)
    first, tick_0, tick_1, second = framer.take()
    assert [(tick_0.key, tick_0.partition), (tick_1.key, tick_1.partition)] == [(b"", 0), (b"", 1)]
    assert decode_frame(tick_0.value) == Frame(1, "", "", "s1", 0, [Tick(2, 2, 0)])
    assert decode_frame(first.value).items[-1].received_ns == 1
    assert decode_frame(second.value).items == [Notification(3, b"{}")]
    assert decode_frame(second.value).sequence == 2


def test_an_instrument_that_is_given_up_and_taken_again_has_a_session_of_its_own(
    framer: Framer,
) -> None:
    add(framer, BTC, 1)
    framer.end(BTC, "moved", 2)
    framer.end(BTC, "moved", 3)
    add(framer, BTC, 4)
    first, second = frames(framer.take())
    assert first.items[-1] == Disconnected(2, "moved")
    assert second.items == [Connected(4, "worker-1", True), Notification(4, b"{}")]
    assert [first.sequence, second.sequence] == [1, 1]
    assert [first.session, second.session] == ["s1", "s1+1"]
    assert framer.session_of(BTC) == "s1+1"
    assert connection_of(second.session) == first.session


def test_a_new_session_numbers_from_one_after_all_of_the_old(framer: Framer) -> None:
    add(framer, BTC, 1)
    add(framer, ETH, 1)
    framer.end_all("closed", 2)
    framer.begin("s2", simulated=False)
    add(framer, BTC, 3)
    old_btc, old_eth, new = frames(framer.take())
    assert [frame.items[-1] for frame in (old_btc, old_eth)] == [Disconnected(2, "closed")] * 2
    assert (new.session, new.sequence) == ("s2", 1)
    assert new.items[0] == Connected(3, "worker-1", False)


def test_a_session_that_was_not_ended_is_an_error(framer: Framer) -> None:
    add(framer, BTC, 1)
    with pytest.raises(AssertionError, match="before the last one was ended"):
        framer.begin("s2", simulated=False)


def test_one_notification_larger_than_a_frame_travels_alone(framer: Framer) -> None:
    large = b"x" * (MAX_FRAME_BYTES + 1)
    add(framer, BTC, 1)
    add(framer, BTC, 2, large)
    add(framer, BTC, 3)
    sizes = [[len(item.message) for item in f.items[-1:]] for f in frames(framer.take())]
    assert sizes == [[2], [len(large)], [2]]


steps = st.lists(
    st.tuples(
        st.sampled_from([BTC, ETH]), st.sampled_from(["add", "end", "take", "tick", "session"])
    ),
    max_size=60,
)


@settings(derandomize=True, deadline=None)
@given(steps=steps, size=st.sampled_from([1, 100_000]), count=st.sampled_from([1, MAX_FRAME_ITEMS]))
def test_whatever_happens_frames_are_whole(
    steps: list[tuple[str, str]], size: int, count: int
) -> None:
    framer = Framer("worker-1", partition_of)
    framer.begin("s0", simulated=False)
    taken, added, sessions = [], {BTC: [], ETH: []}, 0
    for now, (instrument, step) in enumerate(steps):
        match step:
            case "add":
                for _ in range(count if size == 1 else 1):
                    add(framer, instrument, now, b"x" * size)
                    added[instrument].append(now)
            case "end":
                framer.end(instrument, "moved", now)
            case "take":
                taken += framer.take()
            case "tick":
                framer.tick([0, 1], Tick(now, now, 0))
            case "session":
                framer.end_all("closed", now)
                sessions += 1
                framer.begin(f"s{sessions}", simulated=False)
    taken += framer.take()
    expected: dict[tuple[str, str], int] = {}
    is_open: dict[str, bool] = {BTC: False, ETH: False}
    last_tick = {0: -1, 1: -1}
    for record in taken:
        frame = decode_frame(record.value)
        assert len(frame.items) <= MAX_FRAME_ITEMS
        assert sum(len(getattr(item, "message", b"")) for item in frame.items) <= MAX_FRAME_BYTES
        if not frame.instrument:
            last_tick[record.partition] = frame.items[0].received_ns
            continue
        key = frame.session, frame.instrument
        expected[key] = expected.get(key, 0) + 1
        assert frame.sequence == expected[key]
        assert record.partition == partition_of(frame.instrument)
        for item in frame.items:
            assert item.received_ns >= last_tick[record.partition]
            assert is_open[frame.instrument] != isinstance(item, Connected)
            is_open[frame.instrument] = not isinstance(item, Disconnected)
            if isinstance(item, Notification):
                assert item.received_ns == added[frame.instrument].pop(0)
    assert added == {BTC: [], ETH: []}
