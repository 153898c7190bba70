"""The protocol by which a state outlives its worker: checkpoint, commit, take-over, compaction.

One partition of an input, its changelog, and workers with a table on a disk each. How far a state
goes is a position, so "applied twice" and "lost" are comparisons of two numbers. docs/model.md maps
each action to the functions that it stands for.
"""

from __future__ import annotations

from tests.model.actions import Moves
from tests.model.owner import Owner
from tests.model.state import Owning, World
from tests.model.surroundings import Surroundings
from tests.model.takeover import TakeOver


class Protocol(Owner, TakeOver, Surroundings):
    """All that can happen."""

    def canonical(self, world: World) -> World:
        """Return the world with its workers in order: which of them is which does not matter."""
        workers = world.workers
        if len(workers) == 2:
            if workers[0] <= workers[1]:
                return world
            return world._replace(workers=(workers[1], workers[0]))
        return world._replace(workers=tuple(sorted(workers)))

    def successors(self, world: World) -> Moves:
        """Return all that can happen next."""
        moves: Moves = []
        for number, worker in enumerate(world.workers):
            process = worker[0]
            if not process:
                self._take_over(moves, world, number, worker)
                self._lose_disk(moves, world, number, worker)
            elif type(process) is Owning:
                self._own(moves, world, number, worker, process)
            else:
                self._recover(moves, world, number, worker, process)
        if world.wire:
            self._land_late(moves, world)
        if world.budget.compactions and len(world.log) > 1:
            self._compact(moves, world)
        if self.can_be_anew:
            self._make_anew(moves, world)
        return moves
