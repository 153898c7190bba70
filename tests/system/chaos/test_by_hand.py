"""B15, B24 and the zombie, with records made by hand: no exchange does that."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.settings import Settings
from app.topics.admin import changelog_name
from app.topics.partitioner import partition_of
from app.verify.records import Record, committed, end_offsets, read_topic
from models.frame import Frame, encode_frame
from tests.checker.changelog import Recovered
from tests.harness.pipeline import Pipeline
from tests.system.chaos.hand import (
    NAME,
    Session,
    change,
    neighbour_of,
    produce,
    produce_frames,
    snapshot,
)
from tests.system.chaos.run import Run
from tests.system.chaos.runner import seed_of_today

pytestmark = [pytest.mark.chaos_quick, pytest.mark.timeout(150)]

WAIT_S = 30.0
POLL_S = 0.2


class Hand:
    """A worker without a socket, and what is put into its feed."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.settings = pipeline.installation
        self.run = Run(pipeline, seed_of_today())
        self.feed = pipeline.topic("feed")
        self.changelog = changelog_name(self.settings.app_id, "books")
        self.partition = partition_of(NAME, self.settings.partitions)

    def start(self, *, empty_disk: bool = False) -> None:
        self.run.start(1, empty_disk=empty_disk, ingest="false")

    def send(self, *frames: Frame) -> list[int]:
        return asyncio.run(produce_frames(self.settings.kafka, self.feed, frames, self.partition))

    def send_raw(self, topic: str, key: bytes | None, value: bytes | None) -> int:
        records = [(key, value)]
        return asyncio.run(produce(self.settings.kafka, topic, records, self.partition))[0]

    def read(self, topic: str) -> list[Record]:
        return asyncio.run(read_topic(self.settings.kafka, topic))

    def wait(self, what: str, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if answer := condition():
                return answer
            worker = self.run.worker(1)
            assert worker.running, f"the worker ended before {what}\n{worker.tail()}"
            time.sleep(POLL_S)
        raise AssertionError(f"not {what} within {WAIT_S} s\n{self.run.worker(1).tail()}")

    def wait_committed(self) -> None:
        """Wait until all that is in the feed is processed and checkpointed."""
        ends = asyncio.run(end_offsets(self.settings.kafka, self.feed))

        def is_done() -> bool:
            group = self.settings.app_id
            found = asyncio.run(committed(self.settings.kafka, group, self.feed))
            return all(found.get(number, 0) >= end for number, end in ends.items())

        self.wait("committed", is_done)

    def overtaken(self) -> set[tuple[int, bytes]]:
        """Return the keys of which the changelog's last record is not the newest."""
        recovered = Recovered()
        recovered.take(self.read(self.changelog))
        return recovered.overtaken


def test_what_does_not_follow_never_advances_the_book(installation: Settings) -> None:
    """B15: hole, repeat, wrong order, an ended session, and ids that restart lower."""
    with Pipeline(installation) as pipeline:
        hand = Hand(pipeline)
        hand.start()
        first, second = Session("first"), Session("second")
        opening = [
            first.frame(snapshot(100, 1), at=1, connects=True),
            first.frame(change(101, 100, 11.0, 2), at=2),
        ]
        broken = first.frame(change(103, 102, 12.0, 4), at=4, skip=1)
        hand.send(*opening, opening[-1], broken)
        hand.wait_committed()
        hand.run.worker(1).kill()  # what is known of the gap has to survive
        hand.start()
        follower = second.frame(change(6, 5, 7.0, 41), at=41)
        late = first.frame(change(104, 103, 99.0, 42), at=42)
        hand.send(
            first.frame(change(104, 103, 13.0, 14), at=14),  # still on the way to a snapshot
            second.frame(snapshot(5, 40), at=40),
            late,  # of a session that has ended
            second.frame(change(6, 5, 6.0, 43), at=43, skip=1),
            follower,  # its number is lower than the last one's
            second.frame(snapshot(20, 50), at=50),
            second.frame(change(21, 20, 8.0, 51), change(21, 20, 9.0, 52), at=52),
            second.tick(120),
        )
        hand.wait_committed()
        hand.run.finish()
        report = hand.run.check(with_truth=False)
        states = Recovered()
        states.take(hand.read(hand.changelog))
        windows = [json.loads(each.value or b"") for each in hand.read(pipeline.topic("windows"))]
        requests = [json.loads(each.value or b"") for each in hand.read(pipeline.topic("control"))]
    assert report.ok, report.to_dict()
    assert report.compared["windows"] >= 8
    seconds = {w["start_ms"] // 1_000 % 100: w for w in windows if w["length_ms"] == 1_000}
    assert seconds[0]["status"] == seconds[1]["status"] == "gap"
    assert seconds[0]["coverage"] == pytest.approx(0.1), "live from 100 ms to the hole at 200 ms"
    assert seconds[1]["coverage"] == 0
    assert seconds[1]["ofi_usd"] is None
    assert seconds[6]["status"] == "complete"
    assert seconds[6]["mid_close"] == 100.0
    assert {(each["instrument"], each["session"]) for each in requests} >= {(NAME, "first")}


def test_poison_is_set_aside_and_the_partition_goes_on(installation: Settings) -> None:
    """B24: nothing that is put into the feed stops it; all of it is kept with its offset."""
    with Pipeline(installation) as pipeline:
        hand = Hand(pipeline)
        hand.start()
        session = Session("s")
        hand.send(session.frame(snapshot(1, 1), at=1, connects=True))
        good = encode_frame(Session("t").frame(snapshot(1, 1), at=1))
        poison = [b"", b"\x00\xff not msgpack", good[:-3], good.replace(b"\x01", b"\x63", 1), None]
        offsets = [hand.send_raw(hand.feed, NAME.encode(), value) for value in poison]
        inner = hand.send(session.frame(b'{"params": NaN', b"\xff\xfe", at=2))[0]
        hand.send(session.frame(change(2, 1, 4.0, 3), at=3), session.tick(100))
        hand.wait_committed()
        hand.run.finish()
        refused = [json.loads(each.value or b"") for each in hand.read(pipeline.topic("refused"))]
        report = hand.run.check(with_truth=False)
    assert report.ok, report.to_dict()
    assert report.compared["windows"] >= 5
    by_offset = [each["offset"] for each in refused]
    assert sorted(set(by_offset)) == [*offsets, inner]
    assert by_offset.count(inner) == 2
    assert all(each["reason"] for each in refused)


def test_a_zombies_late_write_over_a_quiet_key_is_undone(installation: Settings) -> None:
    """The last record of each key becomes the newest again: by the owner, and by a recovery."""
    with Pipeline(installation) as pipeline:
        hand = Hand(pipeline)
        hand.start()
        session = Session("s")
        hand.send(session.frame(snapshot(1, 1), at=1, connects=True))
        hand.wait_committed()
        hand.send(session.frame(change(2, 1, 4.0, 3), at=3))
        hand.wait_committed()
        key = NAME.encode()
        old = next(each.value for each in hand.read(hand.changelog) if each.key == key)

        hand.send_raw(hand.changelog, key, old)
        assert hand.overtaken() == {(hand.partition, key)}
        neighbour = neighbour_of(NAME, installation.partitions)
        hand.send(
            Session("n", neighbour).frame(snapshot(1, 1, neighbour), at=1, connects=True),
        )
        hand.wait("repaired by the owner", lambda: not hand.overtaken())

        hand.send_raw(hand.changelog, key, old)
        assert hand.overtaken() == {(hand.partition, key)}
        hand.run.worker(1).kill()
        hand.start(empty_disk=True)
        hand.wait("repaired after recovery, though all is quiet", lambda: not hand.overtaken())
        hand.send(session.frame(change(3, 2, 5.0, 5), at=5), session.tick(100))
        hand.wait_committed()
        hand.run.finish()
        report = hand.run.check(with_truth=False)
    assert report.ok, report.to_dict()
    assert report.compared["windows"] >= 5
