"""A worker knows how the instruments stand once every partition of them was read to its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from agents.books import Books
from agents.latest import Latest
from app.settings import Settings
from app.state import readiness
from app.state.readiness import READ_WITHIN_S, FirstReading
from app.topics.admin import changelog_name, ensure_topics
from app.verify.records import read_topic
from tests.faust_exact.counting import running, until
from tests.harness.in_process import Worker

OWN, OTHER, EMPTY = (TP("latest-changelog", number) for number in range(3))
TABLE = "latest"


def started() -> Any:
    """An app that has just been started: it has not joined its group."""
    recovery = SimpleNamespace(
        standbys_for_table={TABLE: set()},
        standby_highwaters={},
        standby_offsets={},
        active_offsets={},
    )
    return SimpleNamespace(
        rebalancing_count=0,
        rebalancing=False,
        in_recovery=False,
        tables=SimpleNamespace(recovery=recovery),
    )


def recovered(app: Any) -> None:
    """What Faust does until it calls the recovery complete: OTHER is yet to be read."""
    app.rebalancing_count += 1
    app.rebalancing = app.in_recovery = False
    recovery = app.tables.recovery
    recovery.standbys_for_table[TABLE] = {OTHER, EMPTY}
    recovery.standby_highwaters |= {OTHER: 5, EMPTY: -1}
    recovery.standby_offsets |= {OTHER: -1, EMPTY: -1}


def test_a_worker_without_partitions_yet_knows_nothing() -> None:
    app = started()
    reading = FirstReading(app, TABLE)
    assert not reading.is_done
    app.rebalancing_count, app.rebalancing = 1, True
    assert not reading.is_done
    app.rebalancing, app.in_recovery = False, True
    assert not reading.is_done


def test_the_partitions_of_others_are_waited_for() -> None:
    app = started()
    reading = FirstReading(app, TABLE)
    recovered(app)
    offsets = app.tables.recovery.standby_offsets
    for offset in (-1, 0, 4):
        offsets[OTHER] = offset
        assert not reading.is_done
    offsets[OTHER] = 5
    assert reading.is_done


def test_a_partition_whose_end_is_not_known_yet_is_waited_for() -> None:
    app = started()
    reading = FirstReading(app, TABLE)
    recovered(app)
    app.tables.recovery.standby_offsets[OTHER] = 5
    app.tables.recovery.standby_highwaters = {}
    assert not reading.is_done


def test_what_is_known_stays_known_through_rebalances() -> None:
    app = started()
    reading = FirstReading(app, TABLE)
    recovered(app)
    app.tables.recovery.standby_offsets[OTHER] = 5
    assert reading.is_done
    app.rebalancing = app.in_recovery = True
    assert reading.is_done


def test_what_does_not_come_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(readiness.time, "monotonic", lambda: now[0])
    app = started()
    reading = FirstReading(app, TABLE)
    recovered(app)
    assert not reading.is_done
    now[0] += READ_WITHIN_S
    assert not reading.is_done
    now[0] += 0.1
    app.in_recovery = True
    assert not reading.is_done
    app.in_recovery = False
    assert reading.is_done


async def written(settings: Settings) -> set[bytes]:
    """Return the partitions whose states are in the changelog."""
    records = await read_topic(settings.kafka, changelog_name(settings.app_id, "latest"))
    return {record.key for record in records}


@pytest.mark.timeout(120)
async def test_a_worker_that_joins_knows_when_it_has_read_what_others_wrote(
    installation: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust counts what it reads of a global table as its own, whoever owns the partition."""
    monkeypatch.setattr(readiness, "READ_WITHIN_S", 3_600.0)
    await ensure_topics(installation)
    first, second = (
        Worker(installation, Books, Latest, worker_name=f"worker-{number}") for number in (1, 2)
    )
    async with running(first):
        while len(await written(installation)) < installation.partitions:
            await first.app.sleep(0.1)
        assert first.read.knows_states
        async with running(second):
            await until("shared", lambda: len(second.written.books.partitions) == 1)
            await until("read", lambda: second.read.knows_states)
