"""A process that stands must be able to say on what: also of a loop in another thread."""

import asyncio
import threading

from app.monitoring.task_dump import unfinished_tasks


async def innermost(begun: threading.Event) -> None:
    begun.set()
    await asyncio.Event().wait()


async def outer(begun: threading.Event) -> None:
    await innermost(begun)


def test_the_last_await_of_a_task_in_another_thread_is_named() -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    begun = threading.Event()
    future = asyncio.run_coroutine_threadsafe(outer(begun), loop)
    try:
        assert begun.wait(10)
        # `begun` is set a moment before the task waits: one turn of the loop later it does.
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(10)
        (line,) = unfinished_tasks([loop])
        assert "test_task_dump.py" in line
        assert line.index(" outer") < line.index(" innermost") < line.index(" wait")
        assert "<Future pending" in line
    finally:
        future.cancel()
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(10)  # it takes a turn
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_a_loop_without_tasks_stands_on_nothing() -> None:
    loop = asyncio.new_event_loop()
    assert list(unfinished_tasks([loop])) == []
    loop.close()
