"""Live records are made in turns: a partition that is given up in between is not named."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from app.state.live_updates import LiveUpdates
from app.state.written import WrittenState
from faust_exact import time_slice as turns
from models.live import LiveRecord
from tests.state.test_latest_states import state

NOW_MS = 1_000


def worker_of(*numbers: int) -> Any:
    """Return what the records are made of: partitions with one instrument each."""
    partitions = {
        number: SimpleNamespace(
            states={b"A": SimpleNamespace(name=f"A{number}", status="live", received_ns=0)}
        )
        for number in numbers
    }
    return SimpleNamespace(
        books=SimpleNamespace(partitions=partitions),
        worker="worker-1",
        secret="",
        url="",
        metrics=SimpleNamespace(live=list),
        now_ms=lambda: NOW_MS,
        live_state=lambda processor, _: state(processor.name),
        _heard=defaultdict(LiveUpdates),
        _is_forgotten=lambda _: False,
    )


async def records(worker: Any) -> list[LiveRecord]:
    return [record async for record in WrittenState.changed_states(worker)]


async def test_a_record_names_the_instruments_of_its_partition() -> None:
    found = await records(worker_of(1, 4))
    assert [(record.partition, list(record.states)) for record in found] == [
        (1, ["A1"]),
        (4, ["A4"]),
    ]
    assert all(record.whole and record.worker == "worker-1" for record in found)


async def test_others_have_a_turn_between_two_records_and_may_take_a_partition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)
    worker = worker_of(1, 4, 5)
    making = asyncio.create_task(records(worker))
    await asyncio.sleep(0)
    del worker.books.partitions[4]
    assert [record.partition for record in await making] == [1, 5]
    assert 4 not in worker._heard, "what was heard of it is forgotten, and stays so"
