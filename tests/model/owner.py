"""What a worker does that holds the partition, or thinks so: apply, checkpoint, commit."""

from __future__ import annotations

from tests.model.actions import Actions, Moves
from tests.model.state import (
    APPENDING,
    COMMITTING,
    GONE,
    NOTHING,
    TAKING,
    WAITING,
    Owning,
    Record,
    Worker,
    World,
)


class Owner(Actions):
    """The actions of an owner."""

    def _own(
        self, moves: Moves, world: World, number: int, worker: Worker, process: Owning
    ) -> None:
        if process.position < world.end:
            self._apply(moves, world, number, worker, process)
        if process.unpublished:
            self._publish(moves, world, number, worker, process)
        checkpoint = process.checkpoint
        unsent: tuple[Record, ...] = ()
        if not checkpoint:
            if process.checkpoints:
                self._begin_checkpoint(moves, world, number, worker, process)
        elif checkpoint[0] == TAKING:
            self._take(moves, world, number, worker, process)
        elif checkpoint[0] == WAITING:
            if not process.unpublished & checkpoint[3]:
                self._send(moves, world, number, worker, process, checkpoint[1], checkpoint[2])
        elif checkpoint[0] == APPENDING:
            unsent = checkpoint[1][len(checkpoint[3]) :]
            self._append(moves, world, number, worker, process)
        else:
            self._commit(moves, world, number, worker, process)
        self._end(moves, world, number, worker, unsent)

    def _apply(
        self, moves: Moves, world: World, number: int, worker: Worker, process: Owning
    ) -> None:
        """Apply the next input to the states that it is for; what includes it already skips it."""
        offset = process.position
        states, dirty, unpublished = list(process.states), list(process.dirty), process.unpublished
        problem = None
        halves = self.rules.lock - 1
        for key in self.checks.addressed[offset]:
            state = states[key]
            if not state and self.bounds.is_lazy and dirty[key] == NOTHING and worker.table[key]:
                state = worker.table[key][:2]
            if not state:
                if self.bounds.feed[offset] == "*":
                    continue
                state = (0, 0)
            position, content = state
            if position > offset:
                continue
            if not process.half:
                problem = problem or self.checks.applied(key, offset, content)
                unpublished |= self.checks.output(key, offset)
            if halves and not process.half:
                states[key] = (position, offset + 1)
                continue
            states[key] = (offset + 1, offset + 1)
            if dirty[key] == NOTHING:
                dirty[key] = offset
        is_half = int(bool(halves) and not process.half)
        process = process._replace(
            position=offset + 1 - is_half,
            states=tuple(states),
            dirty=tuple(dirty),
            unpublished=unpublished,
            half=is_half,
        )
        name = "begins to apply" if is_half else "applies"
        moves.append(((name, number, offset), self._with(world, number, worker, process), problem))

    def _publish(
        self, moves: Moves, world: World, number: int, worker: Worker, process: Owning
    ) -> None:
        """Let the outputs on their way arrive."""
        published = world.published | process.unpublished
        after = self._with(world, number, worker, process._replace(unpublished=0))
        moves.append((("publishes", number), after._replace(published=published), None))

    def _begin_checkpoint(
        self, moves: Moves, world: World, number: int, worker: Worker, process: Owning
    ) -> None:
        """Begin a checkpoint, if there is anything to be said."""
        is_dirty = process.dirty != self.clean or process.unsure
        if is_dirty or process.position != world.committed:
            process = process._replace(
                checkpoint=(TAKING, (), -1), checkpoints=process.checkpoints - 1
            )
            self._take(moves, world, number, worker, process)

    def _take(
        self, moves: Moves, world: World, number: int, worker: Worker, process: Owning
    ) -> None:
        """Make the record of a state that is due, or see that all are made."""
        if process.half and self.rules.lock:
            return
        _, records, last = process.checkpoint
        dirty = process.dirty
        for key in range(last + 1, len(dirty)):
            bit = 1 << key
            if dirty[key] != NOTHING:
                position, content = process.states[key]
                if self.rules.own_position:
                    label = max(process.position, position)
                else:
                    label = process.position
                problem = self.checks.labelled(key, label, content)
                record = Record(key, label, content, world.epoch)
                after = process._replace(
                    dirty=(*dirty[:key], NOTHING, *dirty[key + 1 :]),
                    must=process.must & ~bit,
                    checkpoint=(TAKING, (*records, record), key),
                )
                moves.append(
                    (
                        ("makes a record", number, key, label, content),
                        self._with(world, number, worker, after),
                        problem,
                    )
                )
            if process.must & bit:
                return
        self._seal(moves, world, number, worker, process, records)

    def _seal(
        self,
        moves: Moves,
        world: World,
        number: int,
        worker: Worker,
        process: Owning,
        records: tuple[Record, ...],
    ) -> None:
        """End the making of records: note what may be committed, and what has to come before."""
        since = [each for each in process.dirty if each != NOTHING]
        safe = min([process.position, *since]) if self.rules.safe_position else process.position
        if process.unsure:
            made = {record.key for record in records}
            for key, kept in enumerate(worker.table):
                if process.unsure >> key & 1 and kept and key not in made:
                    records = (*records, Record(key, *kept))
            process = process._replace(unsure=0)
        if not records and not process.next_offset:
            records = (Record(len(self.keys), NOTHING, 0, world.epoch),)
        if not self.rules.changelog_first and process.generation == world.generation:
            world = world._replace(committed=safe)
        waited = process.unpublished if self.rules.outputs_first else 0
        if not waited:
            self._send(moves, world, number, worker, process, records, safe)
            return
        process = process._replace(checkpoint=(WAITING, records, safe, waited))
        moves.append(
            (("waits for outputs", number), self._with(world, number, worker, process), None)
        )

    def _send(
        self,
        moves: Moves,
        world: World,
        number: int,
        worker: Worker,
        process: Owning,
        records: tuple[Record, ...],
        safe: int,
    ) -> None:
        """Hand the records to the client; a state of another input is deleted before."""
        if not records:
            process = process._replace(checkpoint=(COMMITTING, safe))
            moves.append(
                (("writes nothing", number), self._with(world, number, worker, process), None)
            )
            return
        sent: list[Record] = []
        for record in records:
            if process.reset >> record.key & 1 and self.rules.deletion_first:
                sent.append(Record(record.key, NOTHING, 0, world.epoch))
            sent.append(record)
        process = process._replace(checkpoint=(APPENDING, tuple(sent), safe, ()))
        worker = worker._replace(process=process)
        if not self.rules.table_last:
            worker = worker._replace(table=self._updated(worker.table, sent))
        moves.append((("sends records", number), self._put(world, number, worker), None))

    def _append(
        self, moves: Moves, world: World, number: int, worker: Worker, process: Owning
    ) -> None:
        """Let the next record land, once or twice; or let the acknowledgement of all arrive."""
        _, records, safe, offsets = process.checkpoint
        if len(offsets) == len(records):
            self._acknowledge(moves, world, number, worker, process)
            return
        record = records[len(offsets)]
        for times in (1, 2) if world.budget.repeats else (1,):
            after, problem = self._landed(world, record, times)
            landed = (*offsets, after.top - 1)
            moved = process._replace(checkpoint=(APPENDING, records, safe, landed))
            if times == 2:
                after = after._replace(
                    budget=world.budget._replace(repeats=world.budget.repeats - 1)
                )
            name = "lands" if times == 1 else "lands twice"
            moves.append(
                (
                    (name, number, *record[:3], after.top - 1),
                    self._with(after, number, worker, moved),
                    problem,
                )
            )

    def _acknowledge(
        self, moves: Moves, world: World, number: int, worker: Worker, process: Owning
    ) -> None:
        """Write what Kafka has acknowledged into the table; a hole is somebody else's write."""
        _, records, safe, offsets = process.checkpoint
        expected = process.next_offset
        is_contiguous = sorted(offsets) == list(range(expected, expected + len(offsets)))
        is_alone = process.is_alone and is_contiguous
        is_last = (is_alone and not process.unsure) or not self.rules.offset_waits
        table = self._updated(worker.table, records)
        persisted = max(offsets) if is_last else worker.persisted
        states, dirty, must, unsure = process.states, process.dirty, process.must, process.unsure
        reset = process.reset
        for record in records:
            reset &= ~(1 << record.key)
        if not is_contiguous and self.rules.doubt:
            dirty, must = self._rewritten(process, range(len(states)))
            if self.bounds.is_lazy:
                unsure = sum(1 << key for key, kept in enumerate(table) if kept)
        if self.bounds.is_lazy:
            states = tuple(
                () if since == NOTHING else state
                for state, since in zip(states, dirty, strict=True)
            )
        process = process._replace(
            states=states,
            dirty=dirty,
            must=must,
            reset=reset,
            unsure=unsure,
            next_offset=max(offsets) + 1,
            is_alone=is_alone,
            checkpoint=(COMMITTING, safe),
        )
        after = self._put(world, number, Worker(process, table, persisted))
        problem = self.checks.persisted(world, table, persisted)
        name = "writes its table" if is_contiguous else "doubts"
        moves.append(((name, number, persisted), after, problem))

    def _commit(
        self, moves: Moves, world: World, number: int, worker: Worker, process: Owning
    ) -> None:
        """Commit; Kafka refuses it to the members of an earlier generation."""
        safe = process.checkpoint[1]
        is_accepted = process.generation == world.generation or not self.rules.generations
        if is_accepted:
            after = world if not self.rules.changelog_first else world._replace(committed=safe)
            problem = self.checks.committed(world, process, safe)
            process = process._replace(checkpoint=())
            moves.append(
                (("commits", number, safe), self._with(after, number, worker, process), problem)
            )
        elif self.rules.fence:
            # Whoever is fenced writes nothing more, and is not listened to: as good as gone.
            moves.append(
                (("is fenced", number, safe), self._with(world, number, worker, GONE), None)
            )
        else:
            process = process._replace(checkpoint=())
            moves.append(
                (("is refused", number, safe), self._with(world, number, worker, process), None)
            )

    def _rewritten(self, process: Owning, keys: range) -> tuple[tuple[int, ...], int]:
        """Have states written again; what was clean is held back from the position on."""
        dirty = list(process.dirty)
        must = process.must
        for key in keys:
            if process.states[key]:
                must |= 1 << key
                if dirty[key] == NOTHING:
                    dirty[key] = process.position
        return tuple(dirty), must
