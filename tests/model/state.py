"""What a state of the model consists of: tuples, so that it can be hashed and compared."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

GONE: Final = ()
"""The process of a worker that does not hold the partition and knows it: ended, or revoked."""
NOTHING: Final = -1
"""No offset; a key that is not dirty; the position of a deletion."""
TAKING, WAITING, APPENDING, COMMITTING = range(4)
"""Stages of a checkpoint: records are made; outputs are awaited; appends are; the commit is due."""


class Record(NamedTuple):
    """A state's record, on its way to the changelog."""

    key: int
    position: int
    """As it is labelled; NOTHING is a deletion."""
    content: int
    """As it is in truth: the position after the last input of the key that the state includes."""
    epoch: int
    """Which input it is of, counted: an input may be deleted and made anew."""


class Stored(NamedTuple):
    """A record in the changelog."""

    offset: int
    key: int
    position: int
    content: int
    epoch: int


class Kept(NamedTuple):
    """A record in a table."""

    position: int
    content: int
    epoch: int


class Worker(NamedTuple):
    """A worker: its process, and the table on its disk."""

    process: Any
    """GONE, Recovering or Owning."""
    table: tuple[Any, ...]
    """By key: a Kept record, or an empty tuple."""
    persisted: int
    """The changelog offset in the table, or NOTHING."""


class Recovering(NamedTuple):
    """A worker that reads the changelog."""

    generation: int
    end: int
    """The end of the changelog when the recovery began."""
    read_to: int
    opened_at: int
    """The offset that the table had when it was opened."""
    overtaken: int
    """Keys, as bits, of which an older record was met after a newer one."""
    is_doubtful: bool
    """Whether the table holds records that may not be of this changelog."""


class Owning(NamedTuple):
    """A worker that holds the partition, or thinks so: a zombie does not know."""

    generation: int
    position: int
    states: tuple[Any, ...]
    """By key: position and content, or an empty tuple where no state is in memory."""
    dirty: tuple[int, ...]
    """By key: the first offset that is in no record of it, or NOTHING."""
    must: int
    """Keys that the next checkpoint has to write, as bits."""
    reset: int
    """Keys whose records are of an input that was deleted."""
    unsure: int
    """Keys not in memory whose record in the table may not be the last of the changelog."""
    next_offset: int
    """The changelog offset that the next append gets if nobody else appends."""
    is_alone: bool
    """Whether nobody else appended since the take-over."""
    unpublished: int
    """Outputs on their way, as bits."""
    checkpoints: int
    """How many it may still begin: a bound of the exploration."""
    checkpoint: tuple[Any, ...]
    """Empty, or a stage and what belongs to it."""
    half: int
    """1 in the middle of an input: applied, but the position not moved yet."""


class Budget(NamedTuple):
    """What may still happen: bounds of the exploration."""

    takeovers: int
    lost_disks: int
    compactions: int
    repeats: int
    feeds_anew: int
    changelogs_anew: int


class World(NamedTuple):
    """A state of the model."""

    generation: int
    """Of the consumer group; the worker that took over last has it, too."""
    committed: int
    epoch: int
    end: int
    """Of the input."""
    log: tuple[Stored, ...]
    """The changelog."""
    top: int
    """The changelog's next offset."""
    published: int
    """Outputs that Kafka has, as bits."""
    workers: tuple[Worker, ...]
    wire: tuple[tuple[Record, ...], ...]
    """What workers that are gone have sent, and has not landed."""
    budget: Budget
