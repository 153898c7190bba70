"""What all actions of the model share: the world they change, and how."""

from __future__ import annotations

from typing import Any

from tests.model.checks import Checks
from tests.model.rules import Bounds, Rules
from tests.model.state import GONE, NOTHING, Budget, Kept, Record, Stored, Worker, World

Moves = list[tuple[tuple[Any, ...], World, str | None]]
"""Actions, where they lead, and what is wrong with it."""

_new = tuple.__new__
_WORKERS = World._fields.index("workers")


class Actions:
    """Actions within bounds, by the rules or by fewer."""

    def __init__(
        self, bounds: Bounds, rules: Rules | None = None, *, is_strict: bool = True
    ) -> None:
        self.bounds = bounds
        self.rules = rules or Rules()
        self.checks = Checks(bounds, self.rules, is_strict=is_strict)
        self.keys = self.checks.keys
        self.can_be_anew = bounds.feeds_anew or bounds.changelogs_anew
        self.nobody = ((),) * len(self.keys)
        self.clean = (NOTHING,) * len(self.keys)

    def initial(self) -> World:
        """Return the world in which nobody has begun."""
        bounds = self.bounds
        worker = Worker(GONE, self.nobody, NOTHING)
        budget = Budget(
            bounds.takeovers,
            bounds.lost_disks,
            bounds.compactions,
            bounds.repeats,
            bounds.feeds_anew,
            bounds.changelogs_anew,
        )
        workers = (worker,) * bounds.workers
        return World(0, 0, 0, len(bounds.feed), (), 0, 0, workers, (), budget)

    def _put(self, world: World, number: int, worker: Worker) -> World:
        """Return the world with another worker in a place: `_replace`, in a sixth of its time."""
        workers = world.workers
        workers = (*workers[:number], worker, *workers[number + 1 :])
        return _new(World, (*world[:_WORKERS], workers, *world[_WORKERS + 1 :]))

    def _with(self, world: World, number: int, worker: Worker, process: Any) -> World:
        """Return the world with another process in a worker."""
        return self._put(world, number, _new(Worker, (process, worker.table, worker.persisted)))

    def _end(
        self,
        moves: Moves,
        world: World,
        number: int,
        worker: Worker,
        unsent: tuple[Record, ...],
    ) -> None:
        """End a worker, or revoke its partition; what it has sent may still land, or be lost."""
        after = self._with(world, number, worker, GONE)
        moves.append((("is gone", number), after, None))
        if unsent and len(world.wire) < self.bounds.on_the_wire:
            after = after._replace(wire=tuple(sorted((*world.wire, unsent))))
            moves.append((("is gone, records on the wire", number), after, None))

    def _landed(self, world: World, record: Record, times: int) -> tuple[World, str | None]:
        log = world.log
        for n in range(times):
            log = (*log, Stored(world.top + n, *record))
        after = world._replace(log=log, top=world.top + times)
        return after, self.checks.landed(after, record)

    def _updated(self, table: tuple[Any, ...], records: Any) -> tuple[Any, ...]:
        rows = list(table)
        for key, position, content, epoch in records:
            if key < len(rows):
                rows[key] = () if position == NOTHING else Kept(position, content, epoch)
        return tuple(rows)
