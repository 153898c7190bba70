"""Faults of a simulated run: each comes at a moment, and to a worker, of the seed's choice.

Most holes need several events in an order that chance alone meets rarely: a worker has to die in
the milliseconds between the changelog and the commit, a paused one has to wake just when another
has read the changelog. So some faults lie in wait for such a moment (`ambush`, `zombie`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from faust.types import TP

from tests.simulation.worker import Process
from tests.simulation.world import World

CHANGELOGS: Final = ("books-changelog", "history-changelog")
MOMENTS: Final = ("changelog", "batch", "written", "committed", "recovered", "begun")
"""What `Process.reach` is told: a state is sent to the changelog, windows are sent, a checkpoint is
in the changelog and not committed, it is committed, a table is recovered, partitions are begun."""
PATIENCE_S: Final = 4.0
"""So long a fault lies in wait."""


async def no_faults(world: World) -> None:
    """Let the feed be written undisturbed."""
    await asyncio.sleep(world.plan.duration_s)


async def random_faults(world: World) -> None:
    """Let faults happen one after another, many of them before the last one is over."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + world.plan.duration_s
    pending: set[asyncio.Task[None]] = set()
    kinds, weights = list(world.plan.faults), list(world.plan.faults.values())
    while loop.time() < until_s and world.failure is None:
        await asyncio.sleep(world.random.uniform(0.1, 2 * world.plan.fault_every_s))
        (kind,) = world.random.choices(kinds, weights)
        task = asyncio.ensure_future(BY_NAME[kind](world))
        pending.add(task)
        task.add_done_callback(pending.discard)
    if pending:
        await asyncio.wait(pending)


def alive(world: World) -> list[Process]:
    """Return the processes that run."""
    found = [each for each in world.processes if each is not None and each.is_alive]
    return [each for each in found if not each.is_paused]


# Processes


async def kill(world: World) -> None:
    """Kill a worker in the midst of what it does; it is started again, perhaps without its disk."""
    if running := alive(world):
        process = world.random.choice(running)
        world.note(process.name, "is killed")
        world.kill(process)
        if world.random.random() < 0.3:
            world.lose_disk(process.number)


async def pause(world: World) -> None:
    """Pause a worker, perhaps for longer than its session; what it had sent still lands."""
    if running := alive(world):
        process = world.random.choice(running)
        world.note(process.name, "is paused")
        process.pause()
        await _wake(world, process)


async def _wake(world: World, process: Process) -> None:
    """Have a paused worker taken for dead, or not, and wake; until it hears of that it goes on."""
    if world.random.random() < 0.7:
        await asyncio.sleep(world.random.uniform(0.0, 1.0))
        await world.group.rebalance("a worker is silent")
    await asyncio.sleep(world.random.choice((0.0, 0.05, 1.0, world.plan.session_s)))
    _resume(world, process)
    await asyncio.sleep(world.random.choice((0.0, 0.5, 3.0)))
    await world.group.rebalance("a worker is back")


def _resume(world: World, process: Process) -> None:
    if process.is_alive and process.is_paused:
        world.note(process.name, "goes on")
        process.resume()


async def _meet(
    world: World,
    moments: tuple[str, ...],
    count: int,
    act: Callable[[Process], None],
    but: Process | None = None,
) -> Process | None:
    """Act on the process that is the first to reach a moment so many times; None if none does."""
    moment = world.random.choice(moments)
    loop = asyncio.get_running_loop()
    met: asyncio.Future[Process] = loop.create_future()
    left = count

    def ambush(process: Process, reached: str) -> bool:
        nonlocal left
        if reached != moment or process is but or met.done():
            return False
        left -= 1
        if left:
            return False
        world.note(process.name, f"is met at {moment!r}")
        met.set_result(process)
        act(process)
        return True

    world.ambushes.append(ambush)
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await met
    except TimeoutError:
        return None
    finally:
        with suppress(ValueError):
            world.ambushes.remove(ambush)


async def ambush(world: World) -> None:
    """Kill or pause a worker, or share all anew, just when something is half done."""
    act = world.random.choice(("kill", "kill", "pause", "rebalance"))
    count = world.random.choice((1, 1, 2, 3))
    if act == "kill":
        await _meet(world, MOMENTS, count, world.kill)
    elif act == "pause":
        process = await _meet(world, MOMENTS, count, Process.pause)
        if process is not None:
            await _wake(world, process)
    elif await _meet(world, MOMENTS, count, lambda process: None) is not None:
        await world.group.rebalance("just then")


async def zombie(world: World) -> None:
    """Pause a worker in the midst of a checkpoint or a take-over; it goes on while another takes
    over.

    What it writes lands when that other one recovers, begins, writes or has written; who then dies
    leaves the changelog to a third.
    """
    half_done = world.random.choice(("changelog", "changelog", "recovered"))
    if half_done == "recovered":
        world.later(world.group.rebalance("by chance"))
    count = world.random.choice((1, 2, 3)) if half_done == "changelog" else 1
    sleeper = await _meet(world, (half_done,), count, Process.pause)
    if sleeper is None:
        return
    taken = asyncio.ensure_future(world.group.rebalance("a worker is silent"))
    at = world.random.choice(("recovered", "begun", "changelog", "written", "committed"))
    moments, count = (at,), world.random.choice((1, 1, 2, 4))
    await _meet(world, moments, count, lambda _: _resume(world, sleeper), but=sleeper)
    _resume(world, sleeper)
    if world.random.random() < 0.7:
        await _meet(world, ("changelog", "written", "begun"), 1, world.kill, but=sleeper)
    await taken
    await asyncio.sleep(world.random.choice((0.0, 0.5, 3.0)))
    await world.group.rebalance("a worker is back")


# The group


async def rebalance(world: World) -> None:
    """Share the partitions anew although nobody came or went."""
    await world.group.rebalance("by chance")


async def lose_commit(world: World) -> None:
    """Let some commits be lost on their way, and the answers to others."""
    world.note("kafka", "loses commits")
    world.group.lost_requests = world.random.choice((0.0, 0.5))
    world.group.lost_answers = world.random.choice((0.0, 0.5))
    await asyncio.sleep(world.random.uniform(0.3, 2.0))
    world.group.lost_requests = world.group.lost_answers = 0.0


# Kafka


async def slow(world: World) -> None:
    """Let every message take longer."""
    world.kafka.slowness = world.random.choice((10.0, 100.0))
    world.note("kafka", "is slow")
    await asyncio.sleep(world.random.uniform(0.5, 4.0))
    world.kafka.slowness = 1.0


async def slow_topic(world: World) -> None:
    """Let all that is appended to one topic take long."""
    world.kafka.slow_topic = world.random.choice((*CHANGELOGS, "closed", "windows"))
    world.note("kafka", "is slow for", world.kafka.slow_topic)
    await asyncio.sleep(world.random.uniform(0.5, 4.0))
    world.kafka.slow_topic = ""


async def slow_answers(world: World) -> None:
    """Let what has landed be acknowledged late."""
    world.kafka.slow_answers = world.random.choice((30.0, 300.0))
    world.note("kafka", "answers late")
    await asyncio.sleep(world.random.uniform(0.5, 4.0))
    world.kafka.slow_answers = 1.0


async def fail(world: World) -> None:
    """Let some appends fail, landed or not: their sender ends, and is started again."""
    world.kafka.failing = world.random.choice((0.02, 0.3))
    world.note("kafka", "fails appends")
    await asyncio.sleep(world.random.uniform(0.1, 1.0))
    world.kafka.failing = 0.0


async def repeat(world: World) -> None:
    """Let some appends land twice, as a producer's retry does."""
    world.kafka.repeating = 0.3
    world.note("kafka", "repeats appends")
    await asyncio.sleep(world.random.uniform(0.1, 2.0))
    world.kafka.repeating = 0.0


async def lose_leader(world: World) -> None:
    """Lose the broker that leads some partitions, with what its replicas do not have yet."""
    tailed = [tp for tp, log in world.kafka.logs.items() if log.tail]
    for tp in tailed or list(world.kafka.logs):
        lost = world.kafka.lose_leader(tp)
        world.note("kafka", f"loses the leader of {tp.topic} {tp.partition}, and {lost} appends")


async def compact(world: World) -> None:
    """Compact the changelogs."""
    for topic in CHANGELOGS:
        world.kafka.compact(topic)
    world.note("kafka", "compacts")


async def trim(world: World) -> None:
    """Delete records that were processed, as retention does; or, rarely, others, too."""
    if world.is_remade:
        return  # what would have to be computed again is not there any more
    tp = TP(world.random.choice(("feed", "closed")), world.random.randrange(world.plan.partitions))
    committed = world.kafka.committed.get(tp, 0)
    first = world.random.randint(0, committed)
    if tp.topic == "feed" and world.random.random() < 0.2:
        first = world.random.randint(committed, world.kafka.logs[tp].end)
    if first > committed:
        world.inexact.add(tp.partition)
    world.trimmed.add(tp.partition)
    world.kafka.truncate(tp, first)
    world.note("kafka", f"deletes {tp.topic} {tp.partition} before {first}; {committed} committed")


async def make_anew(world: World) -> None:
    """Stop all workers, delete the changelogs, and start again: all is computed from the feed.

    A disk is kept only where its owner is the first to come back: what another one has written to
    the new changelog meanwhile would be taken for what the disk holds already.
    """
    if world.trimmed or world.is_remade:
        return
    world.is_remade = True
    for process in world.processes:
        if process is not None:
            world.kill(process)
    for topic in CHANGELOGS:
        world.kafka.make_anew(topic)
    world.note("kafka", "makes the changelogs anew")
    for number in range(world.plan.workers):
        world.lose_disk(number)


BY_NAME: Final[dict[str, Callable[[World], Awaitable[None]]]] = {
    fault.__name__: fault
    for fault in (
        *(kill, pause, rebalance, ambush, zombie, slow, slow_topic, slow_answers, fail, repeat),
        *(compact, lose_leader, lose_commit, trim, make_anew),
    )
}
