"""What need not wait is not made a task; what waits goes on as if it had been awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine

import pytest

from faust_exact.fast.eager import Ended, begin


def still_waiting(begun: object) -> Awaitable[str]:
    assert isinstance(begun, Coroutine)
    return begun


async def test_what_does_not_wait_has_ended() -> None:
    tasks = asyncio.all_tasks()

    async def deliver() -> str:
        return "delivered"

    assert begin(deliver()) == Ended("delivered")
    assert asyncio.all_tasks() == tasks


async def test_an_error_before_the_first_wait_is_raised() -> None:
    async def deliver() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        begin(deliver())


async def test_what_waits_goes_on_with_what_it_waited_for() -> None:
    first: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def deliver() -> str:
        found = await first
        await asyncio.sleep(0)
        return found

    task = asyncio.ensure_future(still_waiting(begin(deliver())))
    await asyncio.sleep(0)
    assert not task.done()
    first.set_result("room")
    assert await task == "room"


async def test_an_error_after_a_wait_is_the_tasks() -> None:
    async def deliver() -> str:
        await asyncio.sleep(0)
        raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        await still_waiting(begin(deliver()))


async def test_a_cancellation_between_two_turns_is_not_lost() -> None:
    async def deliver() -> str:
        await asyncio.sleep(0)
        return "not cancelled"

    task = asyncio.ensure_future(still_waiting(begin(deliver())))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_reaches_what_waits_and_can_be_refused() -> None:
    steps: list[str] = []
    never = asyncio.Event()

    async def deliver() -> str:
        try:
            await never.wait()
        except asyncio.CancelledError:
            steps.append("cancelled")
            await asyncio.sleep(0)
            return "cleaned up"
        return "not reached"

    task = asyncio.ensure_future(still_waiting(begin(deliver())))
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "cleaned up"
    assert steps == ["cancelled"]
