"""What stands still ends the worker; what is slow does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from faust_exact.progress_watchdog import MIN_ROUNDS, PATIENCE_S, Progress, look


@dataclass
class Consumer:
    ends: dict[TP, int]
    rounds: int = 0

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        return {tp: self.ends[tp] for tp in tps}


@dataclass
class Held:
    position: int


@dataclass
class Keeper:
    partitions: dict[int, Held]

    def input_tp(self, number: int) -> TP:
        return TP("feed", number)


@dataclass
class Reach:
    is_lost: bool = False


@dataclass
class App:
    consumer: Consumer
    keepers: list[Keeper]
    reach: Reach = field(default_factory=Reach)
    in_recovery: bool = False
    rebalancing: bool = False
    progress: Progress = field(default_factory=Progress)

    async def after(self, seconds: float) -> str | None:
        return await look(self, self.progress, seconds)


def behind(*positions: int) -> tuple[App, list[Held]]:
    held = [Held(position) for position in positions]
    ends = {TP("feed", number): 100 for number in range(len(held))}
    return App(Consumer(ends), [Keeper(dict(enumerate(held)))]), held


LATER_S = PATIENCE_S + 5


async def test_a_partition_that_is_left_out_of_every_fetch_stands() -> None:
    app, held = behind(10, 10)
    assert await app.after(0) is None
    held[1].position = 50
    app.consumer.rounds += MIN_ROUNDS
    assert await app.after(LATER_S) == "feed-0 stands at 10 for 65 s, 90 behind"


async def test_a_worker_that_takes_long_for_one_fetch_does_not_stand() -> None:
    app, held = behind(10, 10)
    for seconds in range(0, 300, 5):
        held[1].position = 10 + seconds // 10
        app.consumer.rounds = min(MIN_ROUNDS - 1, seconds // 60)
        assert await app.after(seconds) is None


async def test_where_nothing_moves_no_fetch_is_waited_for() -> None:
    app, _ = behind(10, 20)
    assert await app.after(0) is None
    assert await app.after(PATIENCE_S) is None
    assert await app.after(LATER_S) == "feed-0, feed-1: nothing moves for 65 s"


async def test_what_is_not_behind_need_not_move() -> None:
    app, held = behind(100, 100)
    app.consumer.rounds = 1_000
    for seconds in (0, LATER_S, 2 * LATER_S):
        assert await app.after(seconds) is None
    held[0].position = 90  # as after a new record: its time begins now
    assert await app.after(3 * LATER_S) is None
    app.consumer.rounds += MIN_ROUNDS
    assert await app.after(4 * LATER_S) is not None


async def test_a_recovery_that_does_not_move_stands() -> None:
    app, _ = behind(10)
    recovery: Any = type("Recovery", (), {"active_offsets": {TP("changelog", 0): 5}})
    app.in_recovery = True
    app.tables = type("Tables", (), {"recovery": recovery})  # type: ignore[attr-defined]
    assert await app.after(0) is None
    assert await app.after(LATER_S) == "recovery has not moved for 65 s"
    recovery.active_offsets[TP("changelog", 0)] = 6
    assert await app.after(LATER_S + 1) is None


async def test_what_stood_in_an_outage_is_given_its_time_from_the_end_of_it() -> None:
    app, _ = behind(10, 20)
    assert await app.after(0) is None
    app.reach.is_lost = True
    for seconds in range(5, 600, 5):
        app.consumer.rounds += MIN_ROUNDS
        assert await app.after(seconds) is None
    app.reach.is_lost = False
    assert await app.after(600) is None
    assert await app.after(600 + PATIENCE_S) is None
    assert await app.after(600 + LATER_S) is not None


async def test_a_recovery_waits_for_a_kafka_that_is_away() -> None:
    app, _ = behind(10)
    recovery: Any = type("Recovery", (), {"active_offsets": {TP("changelog", 0): 5}})
    app.in_recovery = True
    app.tables = type("Tables", (), {"recovery": recovery})  # type: ignore[attr-defined]
    assert await app.after(0) is None
    app.reach.is_lost = True
    assert await app.after(LATER_S) is None
