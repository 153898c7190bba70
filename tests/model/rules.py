"""The rules of the exact layer, each of which can be left out, and the bounds of an exploration."""

from __future__ import annotations

from typing import NamedTuple


class Rules(NamedTuple):
    """The rules; all of them hold in the product."""

    fence: bool = True
    """Whose commit is refused writes nothing more."""
    doubt: bool = True
    """Who finds a hole between the offsets of its appends writes every state again."""
    own_position: bool = True
    """A record is labelled with the state's own position where that is above the partition's."""
    highest_wins: bool = True
    """Of two records of a key the one with the higher position wins, not the last one."""
    changelog_first: bool = True
    """The commit follows the changelog's acknowledgement."""
    outputs_first: bool = True
    """Records are appended after the outputs of what they include are acknowledged."""
    lock: bool = True
    """Records are made between whole inputs."""
    safe_position: bool = True
    """A changed state that was not written holds the commit back."""
    table_last: bool = True
    """The table is written after the changelog's acknowledgement."""
    offset_waits: bool = True
    """The table's changelog offset stays while records that were not read lie behind it."""
    repair: bool = True
    """What recovery finds overtaken is written again."""
    generations: bool = True
    """Kafka refuses an owner's commit of an earlier generation."""
    confirm: bool = True
    """Who takes over commits where it begins, before all else: Kafka refuses that to a zombie."""
    rebase: bool = True
    """A state that includes more than there is begins anew: the input was deleted and made anew."""
    deletion_first: bool = True
    """The first record of such a state follows a deletion of its key."""
    notice_changelog: bool = True
    """A changelog that was deleted and made anew is noticed, and all is computed again."""


class Bounds(NamedTuple):
    """What may happen, and how often: the exploration visits everything within."""

    feed: str = "xyx"
    """The keys of the inputs, and * for one that every state is told."""
    workers: int = 2
    takeovers: int = 3
    checkpoints: int = 2
    """Of each take-over."""
    lost_disks: int = 1
    compactions: int = 0
    repeats: int = 0
    """Appends that land twice."""
    feeds_anew: int = 0
    changelogs_anew: int = 0
    on_the_wire: int = 1
    """How many workers that are gone may have records that still land."""
    is_lazy: bool = False
    """Whether states leave memory once they are written, as those of the history do."""
    keeps_tables: bool = False
    """Whether tables outlive the deletion of the changelog that they are of."""
    is_any_compaction: bool = False
    """Whether compaction may come at once, not only `min.compaction.lag.ms` after a write."""
