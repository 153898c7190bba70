"""One-line errors in the exact layer: the simulation, or a unit test, has to find each of them.

`find` occurs once in its module. A text of several lines only says which of several equal lines is
meant.
"""

from __future__ import annotations

from enum import StrEnum
from types import ModuleType
from typing import Final, NamedTuple

from agents import books
from faust_exact import (
    checkpoint,
    partition,
    partition_states,
    record_batch,
    store,
)
from faust_exact.fast import local_delivery, output_batches


class By(StrEnum):
    """What finds a mutant."""

    SIMULATION = "simulation"
    UNIT = "unit tests"
    NOTHING = "nothing"
    """The document says why it is harmless."""


class Mutant(NamedTuple):
    """An error: in a module one text takes the place of another."""

    name: str
    module: ModuleType
    find: str
    put: str
    by: By = By.SIMULATION

    @property
    def file(self) -> str:
        return self.module.__name__.replace(".", "/") + ".py"


MUTANTS: Final = (
    # Positions
    Mutant(
        "a record is labelled with the partition's position, not the state's",
        partition,
        "return max(self.position, state.position)",
        "return self.position",
    ),
    Mutant(
        "what is not written is committed, too",
        partition,
        "return min([self.position, *(each.since for each in self.dirty.values())])",
        "return self.position",
    ),
    Mutant(
        "the commit does not wait for what a checkpoint leaves out",
        checkpoint,
        "safe = partition.safe_position",
        "safe = partition.position",
    ),
    Mutant(
        "a state is taken for changed one record later",
        partition,
        "Unwritten(offset, time.monotonic())",
        "Unwritten(offset + 1, time.monotonic())",
    ),
    Mutant(
        "a record beyond the one wanted is applied",
        partition_states,
        "            if not self._is_next(partition, record):",
        "            if record.offset < partition.position:",
    ),
    Mutant(
        "a record that a state includes is told to it again",
        books,
        "if state.position <= record.offset:",
        "if True:",
    ),
    Mutant(
        "a missing record is not read again",
        partition_states,
        "            partition.is_reread = True\n            partition.reread_at",
        "            partition.reread_at",
    ),
    # The lock
    Mutant(
        "a record is applied without the lock",
        partition_states,
        "        async with partition.whole:\n            # A record can come twice",
        "        if True:\n            # A record can come twice",
    ),
    Mutant(
        "state records are made outside of the lock",
        checkpoint,
        "            async with partition.whole:\n                turn = Turn()",
        "            if True:\n                turn = Turn()",
    ),
    Mutant(
        "what is safe is found outside of the lock",
        checkpoint,
        "                async with partition.whole:\n"
        "                    if not keeper.may_send(partition):",
        "                if True:\n                    if not keeper.may_send(partition):",
    ),
    Mutant(
        "states leave memory outside of the lock",
        checkpoint,
        "async with partition.whole:  # whoever has a state may still change it",
        "if True:",
    ),
    # Fences
    Mutant(
        "no fence after a refused commit",
        partition_states,
        "        if partition is not None:\n            partition.is_fenced = True",
        "        if partition is not None:\n            pass",
    ),
    Mutant(
        "no fence after a record that could not be applied",
        partition_states,
        "except BaseException as error:\n                partition.is_fenced = True",
        "except BaseException as error:\n                pass",
        By.UNIT,
    ),
    Mutant(
        "a partition that was dropped is written on",
        partition_states,
        "return not partition.is_fenced and self.partitions.get(partition.number) is partition",
        "return not partition.is_fenced",
    ),
    Mutant(
        "answers that come after a revocation are put into the table",
        checkpoint,
        "        if not keeper.may_send(partition):\n            return  # it was given up",
        "        if False:\n            return  # it was given up",
    ),
    Mutant(
        "windows of a partition that was given up are sent",
        output_batches,
        "if self.keeper.may_send(partition) and not app.should_stop:",
        "if not app.should_stop:",
    ),
    Mutant(
        "what was fetched before a rebalance is delivered after it",
        record_batch,
        "if not self._may_go_on():",
        "if False:",
    ),
    # Doubt
    Mutant(
        "no doubt after a foreign write",
        checkpoint,
        "        if not is_contiguous:",
        "        if False:",
    ),
    Mutant(
        "doubt does not write states again",
        partition_states,
        "partition.rewrite(partition.states)",
        "partition.rewrite([])",
    ),
    Mutant(
        "doubt leaves out states that are not in memory",
        partition_states,
        "partition.unsure = [key for key, _ in self.store.records(partition.number)]",
        "partition.unsure = []",
    ),
    Mutant(
        "what recovery found overtaken is not written again",
        partition_states,
        "partition.rewrite(overtaken & partition.states.keys())",
        "partition.rewrite([])",
    ),
    Mutant(
        "the same of states that are not in memory",
        partition_states,
        "partition.unsure += overtaken",
        "partition.unsure += []",
    ),
    Mutant(
        "the doubt of a table is forgotten at the take-over",
        partition_states,
        "if number in store.doubtful:",
        "if False:",
    ),
    Mutant(
        "the offset goes on although a foreign write was not read",
        checkpoint,
        "is_last = partition.is_alone and not partition.unsure",
        "is_last = not partition.unsure",
    ),
    Mutant(
        "the offset goes on although not all is written again",
        checkpoint,
        "is_last = partition.is_alone and not partition.unsure",
        "is_last = partition.is_alone",
    ),
    # Two records of a key
    Mutant(
        "the last record wins",
        store,
        "return position_of(record) < position_of(known)",
        "return False",
    ),
    Mutant(
        "the first record wins",
        store,
        "return position_of(record) < position_of(known)",
        "return True",
    ),
    Mutant(
        "an overtaken record is not noted",
        store,
        "overtaken.add(message.key)",
        "pass",
    ),
    Mutant(
        "a record is compared with the table, not with the batch",
        store,
        "known = newest[where] if where in newest else self.get_record(*where)",
        "known = self.get_record(*where)",
    ),
    Mutant(
        "the offset goes on although a record was overtaken",
        store,
        "is_last = tp.partition not in self.doubtful and not self.overtaken[tp.partition]",
        "is_last = tp.partition not in self.doubtful",
    ),
    Mutant(
        "the offset goes on although the table is in doubt",
        store,
        "is_last = tp.partition not in self.doubtful and not self.overtaken[tp.partition]",
        "is_last = not self.overtaken[tp.partition]",
    ),
    Mutant(
        "deletions do not reach the table",
        store,
        "                batch.delete(key)",
        "                pass",
    ),
    # Changelog before commit
    Mutant(
        "the commit does not wait for what was sent",
        checkpoint,
        "                await acknowledged(sent)",
        "                await acknowledged([])",
    ),
    Mutant(
        "the commit does not wait for windows",
        output_batches,
        "        partition.sent.append(future)",
        "        pass",
    ),
    Mutant(
        "a checkpoint leaves what was to be sent later",
        checkpoint,
        "                    await self.send_later(partition)",
        "                    pass",
    ),
    Mutant(
        "only the first answer of the changelog is waited for",
        checkpoint,
        "return_when=asyncio.FIRST_EXCEPTION",
        "return_when=asyncio.FIRST_COMPLETED",
    ),
    Mutant(
        "what could not be written is forgotten",
        checkpoint,
        "                partition.put_back()\n                partition.unsure += resent",
        "                partition.unsure += resent",
        By.UNIT,
    ),
    Mutant(
        "what could not be written is as young as what came since",
        partition,
        "            self.dirty[key] = old",
        "            self.dirty.setdefault(key, old)",
        By.UNIT,
    ),
    Mutant(
        "computing again is not committed first",
        partition_states,
        "partition.rewound_to = partition.position",
        "pass",
    ),
    # States that are not in memory
    Mutant(
        "a deleted key is read again from the table",
        partition_states,
        "if state is None and self.is_lazy and not partition.is_unwritten(key):",
        "if state is None and self.is_lazy:",
    ),
    Mutant(
        "what is being written is taken for written",
        partition,
        "return key in self.dirty or key in self.writing",
        "return key in self.dirty",
    ),
    Mutant(
        "changed states leave memory",
        partition,
        "if not self.is_unwritten(key)]:",
        "if key not in self.writing]:",
    ),
    # Input and changelogs that are gone
    Mutant(
        "an empty changelog is believed",
        partition_states,
        "if known < 0 and not changelog:",
        "if False:",
    ),
    Mutant(
        "states that miss input are not told",
        partition_states,
        "                self._miss(partition, first)",
        "                pass",
    ),
    Mutant(
        "nor are they at a take-over",
        partition_states,
        "            self._miss(partition, end)",
        "            pass",
    ),
    Mutant(
        "a state of an input that was made anew keeps its position",
        partition_states,
        "            state.position = partition.offsets.start",
        "            pass",
        By.UNIT,
    ),
    Mutant(
        "its next record does not follow a deletion",
        checkpoint,
        "deletion = [None] if key in partition.reset and record is not None else []",
        "deletion = []",
        By.UNIT,
    ),
    Mutant(
        "a record may be of any size",
        checkpoint,
        "if len(record) > MAX_RECORD_BYTES:",
        "if False:",
        By.UNIT,
    ),
    # Local delivery and batches
    Mutant(
        "what others write is not looked for where it is quiet",
        local_delivery,
        'self._fetch(self.keeper.input_tp(number), "it is quiet")',
        "pass",
    ),
    Mutant(
        "what others wrote in between is not fetched",
        local_delivery,
        "if partition.position != waiting.end:",
        "if False:",
        By.UNIT,
    ),
    Mutant(
        "what was appended before a rebalance is delivered after it",
        local_delivery,
        "        self._waiting.clear()",
        "        pass",
        By.NOTHING,
    ),
    Mutant(
        "a record that has no room is lost",
        output_batches,
        "            partition.batch = self._producer.create_batch()\n"
        "            partition.batch.append(timestamp=None, key=key, value=value)",
        "            partition.batch = self._producer.create_batch()",
    ),
)
