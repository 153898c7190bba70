"""Input that retention deleted before it was processed is skipped, at once, and never unsaid."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.faust_exact.counting import Count
from tests.faust_exact.test_partition_states import INPUT, Kit


class Told(Kit):
    """A keeper that notes which states are told that input of theirs is gone."""

    def __init__(self, folder: Path, **options: bool) -> None:
        super().__init__(folder, **options)
        self.told: list[tuple[int, int]] = []
        self.keeper.on_missed = self.note

    def note(self, state: Count, end: int) -> None:
        self.told.append((state.count, end))

    async def counted(self, *keys: bytes) -> None:
        for key in keys:
            await self.take(key)
        await self.keeper.checkpoint(0)


@pytest.fixture
def kit(tmp_path: Path) -> Told:
    return Told(tmp_path)


@pytest.mark.parametrize("committed", [3, None])
async def test_a_takeover_behind_the_log_tells_the_states_that_miss_input(
    kit: Told, committed: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    await kit.counted(b"a")
    await kit.counted(b"b", b"b", b"b", b"b")
    kit.keeper.drop([0])
    with caplog.at_level(logging.WARNING):
        kit.keeper.begin(0, committed, 4, 9)
    assert kit.partition.position == 4
    assert kit.told == [(1, 9)], "b includes what was before 5"
    assert "the topic begins at 4" in caplog.text
    assert await kit.keeper.checkpoint(0) == 4
    assert [key for key, _ in kit.log.records] == [b"a", b"b", b"a"], "what it was told is kept"
    kit.keeper.drop([0])
    kit.keeper.begin(0, 4, 4, 9)
    assert kit.told == [(1, 9)], "once"


async def test_a_takeover_at_the_begin_of_the_log_misses_nothing(kit: Told) -> None:
    await kit.counted(b"a", b"b")
    kit.keeper.drop([0])
    kit.keeper.begin(0, 2, 2, 9)
    assert kit.told == []


async def test_an_input_that_was_made_anew_is_missed(kit: Told) -> None:
    await kit.counted(b"a", b"a", b"a")
    kit.keeper.drop([0])
    kit.keeper.begin(0, 0, 0, 2)
    assert kit.told == [(3, 2)]


async def test_a_running_partition_goes_on_where_the_log_begins(
    kit: Told, caplog: pytest.LogCaptureFixture
) -> None:
    await kit.counted(b"a", b"b")
    await kit.keeper.skip(INPUT, 2)
    assert kit.told == [], "nothing was deleted that is wanted"
    await kit.keeper.skip(INPUT, 7)
    assert kit.partition.position == 7
    assert kit.told == [(1, 7), (1, 7)]
    assert "2 was wanted, but the topic begins at 7" in caplog.text
    assert await kit.keeper.take(kit.record(b"a", 7))
    assert await kit.keeper.checkpoint(0) == 8
    await kit.keeper.skip(INPUT._replace(partition=5), 9)  # of another worker by now


async def test_a_second_hole_is_read_again_too_only_later(
    kit: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was forgotten if it came within a second, and the partition stood still."""
    await kit.take(b"a")
    assert not await kit.keeper.take(kit.record(b"a", 5))
    assert kit.keeper.rereads() == {INPUT: 1}
    kit.keeper.reread_done(INPUT)
    assert not await kit.keeper.take(kit.record(b"a", 7))
    assert kit.keeper.rereads() == {}
    assert kit.keeper.is_reread(INPUT), "what is fetched meanwhile is read again"
    kit.partition.reread_at -= 1.0
    assert kit.keeper.rereads() == {INPUT: 1}
