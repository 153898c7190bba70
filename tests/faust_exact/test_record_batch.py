"""The records of a fetch come in their order, leave others their turn, and stop with the flow."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

from faust_exact.record_batch import Delivery
from faust_exact.time_slice import TURN_S


def records(count: int) -> list[Any]:
    return [
        SimpleNamespace(topic="feed", partition=0, offset=offset, key=b"a", value=b"1")
        for offset in range(count)
    ]


async def test_all_records_come_and_then_it_is_done() -> None:
    done: list[Delivery] = []
    delivered = Delivery(records(3), lambda: True, done.append)
    offsets = []
    async for record in delivered:
        assert not done
        offsets.append(record.offset)
    assert offsets == [0, 1, 2]
    assert done == [delivered]


async def test_what_is_left_when_the_flow_stops_is_not_processed() -> None:
    flow = asyncio.Event()
    done: list[Delivery] = []
    offsets = []
    async for record in Delivery(records(5), lambda: not flow.is_set(), done.append):
        offsets.append(record.offset)
        if record.offset == 1:
            flow.set()
    assert offsets == [0, 1]
    assert len(done) == 1


async def test_a_long_delivery_leaves_others_their_turn() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    turns = 0
    async for _ in Delivery(records(3), lambda: True, lambda _: None):
        until = time.monotonic() + TURN_S
        while time.monotonic() < until:
            pass
    task.cancel()
    assert turns >= 3
    assert turns < 100


async def test_a_short_delivery_keeps_the_loop() -> None:
    loop, between = asyncio.get_running_loop(), 0

    def noted() -> None:
        nonlocal between
        between += 1

    loop.call_soon(noted)
    async for _ in Delivery(records(3), lambda: True, lambda _: None):
        pass
    assert not between, "nothing was to be waited for"
