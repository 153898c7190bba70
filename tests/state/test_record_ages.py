"""Ages of other workers' records, whatever their clocks and this one's say: what is old is never
new, and what is new is not old."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from app.monitoring.monitor import Monitor
from app.state.latest_states import LatestStates, key_of
from app.state.record_ages import FORGET_AFTER_S, RecordAges
from models.live import LiveRecord
from tests.api.recorded import live_of
from tests.system.worker.test_behind import worker as worker_state

HOUR_MS = 3_600_000
KAFKA_MS = 1_700_000_000_000
STALE_MS = 3_000


@dataclass
class World:
    """True time, Kafka's clock, and a reader that knows neither; ms."""

    true_ms: int = 0
    kafka_is_ahead_ms: int = 0
    reader: LatestStates = field(init=False)

    def __post_init__(self) -> None:
        self.reader = self.new_reader()
        self.reader.clocks.is_known = True  # it has run for a while

    def new_reader(self) -> LatestStates:
        """Return a worker that has just started; its table is empty."""
        made = LatestStates({}, lambda: False)
        made.clocks = RecordAges(lambda: (self.true_ms + 77_000_000) / 1_000)
        return made

    def append(self, record: LiveRecord, waits_ms: int = 5) -> None:
        self.true_ms += waits_ms
        appended_ms = KAFKA_MS + self.true_ms + self.kafka_is_ahead_ms
        self.true_ms += 3
        self.reader.take(key_of(record.partition), record, appended_ms)


@dataclass
class Owner:
    """A worker that owns a partition; its clock is ahead by so much."""

    world: World
    partition: int
    ahead_ms: int = 0
    heard_at_ms: int | None = None
    published_ms: int = 0

    @property
    def clock_ms(self) -> int:
        return KAFKA_MS + self.world.true_ms + self.ahead_ms

    def publish(self, *, is_heard: bool = True, waits_ms: int = 5) -> None:
        if is_heard or self.heard_at_ms is None:
            self.heard_at_ms = self.world.true_ms
        heard_ms = KAFKA_MS + self.heard_at_ms + self.ahead_ms
        name = f"I{self.partition}"
        state = live_of(name, partition=self.partition, received_ms=heard_ms)
        worker = f"worker-{self.partition}"
        after_ms, self.published_ms = self.published_ms, self.clock_ms
        record = LiveRecord(
            self.partition, worker, self.clock_ms, heard_ms, True, {name: state}, after_ms, worker
        )
        self.world.append(record, waits_ms)

    def age_ms(self) -> int:
        """Return how old the reader takes it for."""
        reader = self.world.reader
        found = reader.heard_age_ms(self.partition)
        (state,) = (each for each in reader.states().values() if each.partition == self.partition)
        assert found == reader.age_ms(state)
        assert found is not None
        return found


@pytest.mark.parametrize("ahead_ms", [-HOUR_MS, -4_000, 0, 4_000, HOUR_MS])
@pytest.mark.parametrize("kafka_ms", [-HOUR_MS, 0, HOUR_MS])
def test_an_owners_clock_changes_no_age(ahead_ms: int, kafka_ms: int) -> None:
    world = World(kafka_is_ahead_ms=kafka_ms)
    owner, beside = Owner(world, 0, ahead_ms), Owner(world, 1)
    for _ in range(20):
        world.true_ms += 250
        beside.publish()
        owner.publish()
        assert owner.age_ms() < 50
    owner_died_ms = world.true_ms
    for _ in range(40):
        world.true_ms += 250
        beside.publish()
        assert abs(owner.age_ms() - (world.true_ms - owner_died_ms)) < 50
        assert beside.age_ms() < 50


@pytest.mark.parametrize("ahead_ms", [-HOUR_MS, 0, HOUR_MS])
def test_a_worker_that_starts_does_not_take_a_dead_peers_record_for_new(ahead_ms: int) -> None:
    world = World()
    dead, beside = Owner(world, 0, ahead_ms), Owner(world, 1)
    dead.publish()
    table = dict(world.reader.table)
    world.true_ms += 60_000
    world.reader = world.new_reader()
    world.reader.table.update(table)
    beside.publish()
    assert world.reader.heard_age_ms(0) is None, "what came may be of a backlog"
    world.true_ms += 250
    beside.publish()
    assert 60_250 <= dead.age_ms() < 60_300


@pytest.mark.parametrize("waits_ms", [100, 7_000, 600_000])
def test_a_lone_worker_that_starts_does_not_take_its_own_old_records_for_new(waits_ms: int) -> None:
    """It reads the table's old record, then a backlog, both as quickly as they come."""
    world = World()
    owner = Owner(world, 0)
    owner.publish()
    table = dict(world.reader.table)
    world.true_ms += waits_ms
    world.reader = world.new_reader()
    world.reader.table.update(table)
    assert world.reader.heard_age_ms(0) is None
    for number in range(1, 6):
        record = LiveRecord(0, "worker-0", owner.published_ms, owner.published_ms, True, {})
        record.secret = "worker-0"
        world.true_ms += 2
        world.reader.take(key_of(0), record, KAFKA_MS + number * 250)
        assert world.reader.heard_age_ms(0) is None
    world.true_ms += 1_000
    owner.publish()
    for _ in range(2):
        world.true_ms += 250
        owner.publish()
    assert owner.age_ms() < 50


def test_without_any_record_time_goes_on() -> None:
    world = World()
    owner = Owner(world, 0, HOUR_MS)
    owner.publish()
    world.true_ms += 30_000
    assert 30_000 <= owner.age_ms() < 30_050


def test_what_was_not_heard_is_as_old_as_the_owner_says() -> None:
    world = World()
    owner = Owner(world, 0, -HOUR_MS)
    owner.publish()
    world.true_ms += 7_000
    owner.publish(is_heard=False)
    assert 7_000 <= owner.age_ms() < 7_050


def test_what_has_waited_for_kafka_is_old() -> None:
    world = World()
    owner = Owner(world, 0, HOUR_MS)
    for waits_ms in (5, 6_000, 6_000):
        owner.publish(waits_ms=waits_ms)
        assert waits_ms - 5 <= owner.age_ms() < waits_ms + 50


@pytest.mark.parametrize("step_ms", [-HOUR_MS, HOUR_MS])
@pytest.mark.parametrize("whose", ["owner", "Kafka"])
def test_a_clock_that_is_set_while_all_runs(step_ms: int, whose: str) -> None:
    """For a record or two what is new may seem old; what is old never seems new."""
    world = World()
    owner, dead = Owner(world, 0), Owner(world, 1)
    dead.publish()
    dead_ms = world.true_ms
    for _ in range(8):
        world.true_ms += 250
        owner.publish()
    if whose == "owner":
        owner.ahead_ms += step_ms
    else:
        world.kafka_is_ahead_ms += step_ms
    for _ in range(2):
        world.true_ms += 250
        owner.publish()
    for _ in range(12):
        world.true_ms += 250
        owner.publish()
        assert owner.age_ms() < 50
    if (whose, step_ms) != ("Kafka", -HOUR_MS):
        assert dead.age_ms() >= world.true_ms - dead_ms - 50


def test_a_slow_drift_is_followed() -> None:
    """50 s a day: after some days a worker would be stale for good."""
    world = World()
    owner = Owner(world, 0)
    for _ in range(2_000):
        world.true_ms += 2_000
        owner.ahead_ms -= 2
        owner.publish()
    assert owner.age_ms() < 2 * FORGET_AFTER_S + 50
    owner.world.true_ms += 10_000
    assert owner.age_ms() >= 10_000


def test_a_record_of_an_older_release_is_old_until_a_new_one_comes() -> None:
    world = World()
    owner = Owner(world, 0)
    owner.publish()
    record = LiveRecord(1, "old", KAFKA_MS, KAFKA_MS, True, {"I1": live_of("I1", partition=1)})
    world.reader._decoded[key_of(1)] = b"", record
    world.reader.table[key_of(1)] = world.reader._decoded[key_of(1)][0]
    age_ms = world.reader.heard_age_ms(1)
    assert age_ms is not None
    assert age_ms > STALE_MS


@pytest.mark.parametrize("ahead_ms", [-HOUR_MS, -2_500, 2_500, HOUR_MS])
def test_clocks_that_differ_are_said(ahead_ms: int, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    known = worker_state({})
    known.written.latest = world.reader
    known.written.latest.table = world.reader.table
    Owner(world, 0, ahead_ms).publish()
    Owner(world, 1).publish()
    word = "ahead of" if ahead_ms > 0 else "behind"
    (said,) = [reason for reason in known.read.readiness().degraded if "clock" in reason]
    assert said == f"the clock of worker-0 is {abs(ahead_ms) / 1_000:.1f} s {word} Kafka's"

    monitor: Any = Monitor.__new__(Monitor)
    monitor._clocks_said = False
    caplog.set_level("INFO", "steelyard.worker")
    for troubles in ([said], [said], [], []):
        monitor.say_clocks(troubles)
    lines = [each.getMessage() for each in caplog.records if "clock" in each.getMessage()]
    assert lines == [
        f"{said}: set the clocks, by NTP for instance",
        "the clocks of workers, Kafka and venue agree again",
    ]


def test_a_clock_that_differs_from_the_venues_is_said() -> None:
    known = worker_state({})
    known.written.venue_ahead_ms = -4_000
    assert known.read.clock_troubles() == ["the clock of worker-1 is 4.0 s behind the venue's"]
    known.written.venue_ahead_ms = 80
    assert known.read.clock_troubles() == []
