"""The simulated consumer group: a generation, an assignment, and which commits are taken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from faust.types import TP

from tests.simulation.worker import Process

if TYPE_CHECKING:
    from tests.simulation.world import World


class Group:
    """Shares the partitions among the processes that answer within their session."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.generation = 0
        self.members: set[Process] = set()
        self.lost_requests = 0.0
        """Share of commits that do not arrive."""
        self.lost_answers = 0.0
        """Share of commits that are taken, and whose sender is not told."""
        self._rebalancing = asyncio.Lock()
        self._is_wanted = False

    def commit(self, process: Process, generation: int, offsets: dict[TP, int]) -> bool:
        """Take a commit of a member of this generation; refuse that of any other."""
        drawn = self.world.random.random()
        if process not in self.members or generation != self.generation:
            return False
        if drawn < self.lost_requests:
            self.world.later(self.rebalance("a commit was lost"))
            return False
        for tp, offset in offsets.items():
            self.world.checks.committed(process, generation, tp, offset)
            self.world.kafka.committed[tp] = offset
        if drawn > 1 - self.lost_answers:
            self.world.note(process.name, "is not told that its commit was taken")
            self.world.later(self.rebalance("the answer to a commit was lost"))
            return False
        return True

    async def rebalance(self, why: str) -> None:
        """Share all partitions anew; those who ask while others wait are served with them."""
        if self._is_wanted:
            return
        self._is_wanted = True
        async with self._rebalancing:
            self._is_wanted = False
            world = self.world
            world.note("group", "rebalances:", why)
            asked = [each for each in world.processes if each is not None and each.is_alive]
            await asyncio.gather(*(self._ask(each) for each in asked))
            self.generation += 1
            self.members = {each for each in self.members if each.is_alive}
            takers = sorted(self.members, key=lambda each: each.number)
            world.random.shuffle(takers)
            numbers = list(range(world.plan.partitions))
            world.random.shuffle(numbers)
            shares: dict[Process, list[int]] = {each: [] for each in takers}
            for place, number in enumerate(numbers):
                if takers:
                    shares[takers[place % len(takers)]].append(number)
            for process, share in shares.items():
                world.note("group", process.name, "gets", share, f"generation {self.generation}")
                process.spawn(process.take_over(share, self.generation))

    async def _ask(self, process: Process) -> None:
        """Have a process give up what it has; who does not answer is a member no more."""
        self.members.add(process)
        revoking = process.spawn(process.revoke())
        await asyncio.wait([revoking], timeout=max(self.world.plan.session_s, 0.1))
        if not revoking.done():
            self.world.note("group", process.name, "does not answer")
            self.members.discard(process)
