"""How a worker comes to hold the partition: it reads the changelog, and begins at the commit."""

from __future__ import annotations

from typing import Any

from tests.model.actions import Actions, Moves
from tests.model.state import GONE, NOTHING, Kept, Owning, Recovering, Stored, Worker, World


class TakeOver(Actions):
    """The actions of a worker that takes over."""

    def _take_over(self, moves: Moves, world: World, number: int, worker: Worker) -> None:
        """Give the partition to a worker; who had it before may not know."""
        if not world.budget.takeovers:
            return
        generation = world.generation + 1
        is_doubtful = worker.persisted == NOTHING and worker.table != self.nobody
        process = Recovering(
            generation,
            world.top,
            worker.persisted,
            worker.persisted,
            0,
            is_doubtful,
        )
        budget = world.budget._replace(takeovers=world.budget.takeovers - 1)
        after = self._with(world, number, worker, process)
        moves.append(
            (
                ("takes over", number, generation),
                after._replace(generation=generation, budget=budget),
                None,
            )
        )

    def _recover(
        self, moves: Moves, world: World, number: int, worker: Worker, process: Recovering
    ) -> None:
        """Read the changelog into the table and begin, or end after any number of records.

        What it reads was there when it began to, so nobody else sees when it does.
        """
        read = 0
        self._end(moves, world, number, worker, ())
        for stored in world.log:
            if process.read_to < stored.offset < process.end:
                worker = self._read(worker, process, stored)
                process = worker.process
                problem = self.checks.persisted(world, worker.table, worker.persisted)
                read += 1
                after = self._with(world, number, worker, GONE)
                moves.append((("is gone, after reading", number, read), after, problem))
        self._begin(moves, world, number, worker, process)

    def _read(self, worker: Worker, process: Recovering, stored: Stored) -> Worker:
        """Take a record of the changelog: of each key the one with the highest position."""
        offset, key, position, content, epoch = stored
        table, overtaken = worker.table, process.overtaken
        if key < len(table):
            known = table[key]
            is_older = position != NOTHING and known and position < known.position
            if is_older and self.rules.highest_wins:
                overtaken |= 1 << key
            else:
                overtaken &= ~(1 << key)
                kept = () if position == NOTHING else Kept(position, content, epoch)
                table = (*table[:key], kept, *table[key + 1 :])
        is_last = not process.is_doubtful and not overtaken and offset >= worker.persisted
        persisted = offset if is_last or not self.rules.offset_waits else worker.persisted
        process = process._replace(read_to=offset, overtaken=overtaken)
        return Worker(process, table, persisted)

    def _begin(
        self, moves: Moves, world: World, number: int, worker: Worker, process: Recovering
    ) -> None:
        """Begin at the position committed, or at the first input if states may be missing."""
        table, persisted, rules = worker.table, worker.persisted, self.rules
        if rules.confirm and process.generation != world.generation:
            after = self._with(world, number, worker, GONE)
            moves.append((("is refused to begin", number), after, None))
            return
        position = world.committed if world.committed <= world.end else 0
        next_offset, is_alone = process.read_to + 1, True
        is_doubtful = process.is_doubtful
        is_missing = process.opened_at >= world.top or (process.opened_at < 0 and not world.top)
        if is_missing and rules.notice_changelog:
            position = 0
        states: list[Any] = []
        reset = 0
        for key, kept in enumerate(table):
            state: Any = ()
            if kept:
                state = (kept.position, kept.content if kept.epoch == world.epoch else 0)
                if kept.position > max(world.end, position) and rules.rebase:
                    state, reset = (0, 0), reset | 1 << key
            states.append(state)
        if next_offset > world.top:
            persisted, next_offset, is_alone = NOTHING, world.top, not world.top
            is_doubtful = any(table)
        problem = self.checks.restored(world, states, position)
        rewritten = reset | (process.overtaken if rules.repair else 0)
        if is_doubtful and rules.doubt:
            rewritten |= sum(1 << key for key, state in enumerate(states) if state)
        unsure = 0
        if self.bounds.is_lazy:
            states, unsure, rewritten = [()] * len(table), rewritten, 0
        begun = Owning(
            generation=process.generation,
            position=position,
            states=tuple(states),
            dirty=tuple(
                position if rewritten >> key & 1 and state else NOTHING
                for key, state in enumerate(states)
            ),
            must=sum(1 << key for key, state in enumerate(states) if state) & rewritten,
            reset=reset,
            unsure=unsure,
            next_offset=next_offset,
            is_alone=is_alone,
            unpublished=0,
            checkpoints=self.bounds.checkpoints,
            checkpoint=(),
            half=0,
        )
        after = self._put(world, number, Worker(begun, table, persisted))
        if rules.confirm:
            after = after._replace(committed=min(world.committed, position))
        moves.append((("begins", number, position, tuple(states)), after, problem))
