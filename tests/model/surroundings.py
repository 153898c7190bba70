"""What happens to logs and disks, whoever owns the partition."""

from __future__ import annotations

from tests.model.actions import Actions, Moves
from tests.model.state import GONE, NOTHING, Owning, Recovering, Worker, World


class Surroundings(Actions):
    """The actions of Kafka, of disks, and of operators."""

    def _lose_disk(self, moves: Moves, world: World, number: int, worker: Worker) -> None:
        if world.budget.lost_disks and worker.table != self.nobody:
            worker = Worker(GONE, self.nobody, NOTHING)
            budget = world.budget._replace(lost_disks=world.budget.lost_disks - 1)
            after = self._put(world, number, worker)._replace(budget=budget)
            moves.append((("loses its disk", number), after, None))

    def _land_late(self, moves: Moves, world: World) -> None:
        """Let a record land, or be lost, whose sender is gone."""
        for place, records in enumerate(world.wire):
            others = (*world.wire[:place], *world.wire[place + 1 :])
            after, problem = self._landed(world, records[0], 1)
            left = tuple(sorted((*others, records[1:]))) if records[1:] else others
            moves.append(
                (
                    ("lands late", None, *records[0][:3], after.top - 1),
                    after._replace(wire=left),
                    problem,
                )
            )
            moves.append((("is lost on the wire", None), world._replace(wire=others), None))

    def _compact(self, moves: Moves, world: World) -> None:
        """Keep the last record of each key: what is compacted is older than the lag."""
        if not (self.bounds.is_any_compaction or self._is_calm(world)):
            return
        last = {stored.key: stored.offset for stored in world.log}
        log = tuple(stored for stored in world.log if last[stored.key] == stored.offset)
        if log != world.log:
            budget = world.budget._replace(compactions=world.budget.compactions - 1)
            after = world._replace(log=log, budget=budget)
            problem = self.checks.changelog(after)
            moves.append((("the changelog is compacted", None), after, problem))

    def _is_calm(self, world: World) -> bool:
        """Whether an owner has written since anybody else did, and all that it must."""
        if world.wire:
            return False
        owners = [worker.process for worker in world.workers if worker.process]
        if len(owners) != 1 or type(owners[0]) is not Owning:
            return False
        owner = owners[0]
        return (
            owner.generation == world.generation
            and not (owner.checkpoint or owner.must or owner.unsure)
            and owner.next_offset == world.top
        )

    def _make_anew(self, moves: Moves, world: World) -> None:
        """Delete the input, or the changelog, and make it anew while no worker runs."""
        if world.epoch and world.end < len(self.bounds.feed) and self._may_grow(world):
            after = world._replace(end=world.end + 1)
            moves.append((("the input grows", None, world.end + 1), after, None))
        budget = world.budget
        if any(worker.process for worker in world.workers):
            return
        if budget.feeds_anew and world.generation:
            after = world._replace(
                epoch=world.epoch + 1,
                end=0,
                wire=(),
                published=0,
                budget=budget._replace(feeds_anew=budget.feeds_anew - 1),
            )
            moves.append((("the input is made anew", None), after, None))
        if budget.changelogs_anew and world.top:
            after = world._replace(
                log=(),
                top=0,
                wire=(),
                budget=budget._replace(changelogs_anew=budget.changelogs_anew - 1),
            )
            if not self.bounds.keeps_tables:
                after = after._replace(workers=self.initial().workers)
            moves.append((("the changelog is made anew", None), after, None))

    def _may_grow(self, world: World) -> bool:
        """Whether the input may grow: its end tells it apart until its states are written.

        Nor does it outgrow them while a worker has read the changelog, but not yet the end.
        """
        written = {
            each.key for each in world.log if each.epoch == world.epoch and each.position != NOTHING
        }
        is_read = any(type(worker.process) is Recovering for worker in world.workers)
        old = [(each.key, each.position, each.epoch) for each in world.log]
        for worker in world.workers:
            old += [(key, *kept[::2]) for key, kept in enumerate(worker.table) if kept]
        positions = [
            position
            for key, position, epoch in old
            if epoch < world.epoch and position != NOTHING and (is_read or key not in written)
        ]
        if world.committed > world.end:
            positions.append(world.committed)
        return world.end + 1 < min(positions, default=len(self.bounds.feed) + 1)
