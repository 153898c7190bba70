"""Faults of a simulated run: each comes at a moment, and to a worker, of the seed's choice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tests.simulation.world import SESSION_S, World

COMPACTED: Final = ("books-changelog", "history-changelog")


async def no_faults(world: World) -> None:
    """Let the feed be written undisturbed."""
    await asyncio.sleep(world.plan.duration_s)


async def random_faults(world: World) -> None:
    """Let faults happen one after another, many of them before the last one is over."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + world.plan.duration_s
    pending: set[asyncio.Task[None]] = set()
    while loop.time() < until_s and world.failure is None:
        await asyncio.sleep(world.random.uniform(0.1, 2.5))
        fault = world.random.choice(FAULTS)
        task = asyncio.ensure_future(fault(world))
        pending.add(task)
        task.add_done_callback(pending.discard)
    if pending:
        await asyncio.wait(pending)


async def kill(world: World) -> None:
    """Kill a worker in the midst of what it does; start it again, perhaps with an empty disk."""
    number = world.random.randrange(world.plan.workers)
    process = world.processes[number]
    if process is None or not process.is_alive:
        return
    world.note(process.name, "is killed")
    process.kill()
    if world.random.random() < 0.3:
        world.lose_disk(number)
    await asyncio.sleep(world.random.choice((0.1, 1.0, SESSION_S)))
    if world.processes[number] is process:
        world.start(number)
    await world.group.rebalance("a worker came")


async def pause(world: World) -> None:
    """Pause a worker, perhaps for longer than its session; what it had sent still lands."""
    process = world.processes[world.random.randrange(world.plan.workers)]
    if process is None or not process.is_alive or process.is_paused:
        return
    world.note(process.name, "is paused")
    process.pause()
    if world.random.random() < 0.5:
        await asyncio.sleep(world.random.uniform(0.1, 3.0))
        await world.group.rebalance("a worker is silent")
    await asyncio.sleep(world.random.choice((0.05, 1.0, SESSION_S)))
    world.note(process.name, "goes on")
    process.resume()
    await asyncio.sleep(world.random.choice((0.0, 0.5, 3.0)))
    await world.group.rebalance("a worker is back")


async def rebalance(world: World) -> None:
    """Share the partitions anew although nobody came or went."""
    await world.group.rebalance("by chance")


async def slow(world: World) -> None:
    """Let every message take longer."""
    world.kafka.slowness = world.random.choice((10.0, 100.0))
    world.note("kafka", "is slow")
    await asyncio.sleep(world.random.uniform(0.5, 4.0))
    world.kafka.slowness = 1.0


async def fail(world: World) -> None:
    """Let some appends fail, landed or not: their sender ends, and is started again."""
    world.kafka.failing = world.random.choice((0.02, 0.3))
    world.note("kafka", "fails appends")
    await asyncio.sleep(world.random.uniform(0.1, 1.0))
    world.kafka.failing = 0.0
    dead = False
    for number, process in enumerate(world.processes):
        if process is not None and not process.is_alive:
            world.start(number)
            dead = True
    if dead:
        await world.group.rebalance("a worker came")


async def repeat(world: World) -> None:
    """Let some appends land twice, as a producer's retry does."""
    world.kafka.repeating = 0.3
    world.note("kafka", "repeats appends")
    await asyncio.sleep(world.random.uniform(0.1, 2.0))
    world.kafka.repeating = 0.0


async def compact(world: World) -> None:
    """Compact the changelogs."""
    for topic in COMPACTED:
        world.kafka.compact(topic)
    world.note("kafka", "compacts")


FAULTS: Final[tuple[Callable[[World], object], ...]] = (
    kill,
    kill,
    pause,
    pause,
    rebalance,
    slow,
    fail,
    repeat,
    compact,
)
