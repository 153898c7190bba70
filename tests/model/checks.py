"""What must hold in every state of the model.

The effects are what a user would see: input applied twice or lost, an output that is never
published. The design's own promises, checked unless rules are left out, are broken earlier.
"""

from __future__ import annotations

from typing import Any

from tests.model.rules import Bounds, Rules
from tests.model.state import NOTHING, Kept, Owning, Record, World


class Checks:
    """Says what is wrong, or None."""

    def __init__(self, bounds: Bounds, rules: Rules, *, is_strict: bool) -> None:
        self.rules = rules
        self.is_strict = is_strict
        self.goes_back = bounds.changelogs_anew > 0
        """Whether the commit may be of a lower position than before: then all is computed again."""
        feed = bounds.feed
        self.keys = "".join(sorted(set(feed) - {"*"}))
        every = range(len(self.keys))
        self.addressed = [
            tuple(every) if each == "*" else (self.keys.index(each),) for each in feed
        ]
        self.wanted = [[0] * len(self.keys)]
        """By position and key: how far the state goes that includes everything before."""
        for offset, each in enumerate(feed):
            row = list(self.wanted[-1])
            for key in self.addressed[offset]:
                if each != "*" or row[key]:
                    row[key] = offset + 1
            self.wanted.append(row)
        self.outputs = [[0] * len(self.keys)]
        """By position and key: the outputs of everything before, as bits."""
        for offset in range(len(feed)):
            outputs = list(self.outputs[-1])
            for key in every:
                if self.wanted[offset + 1][key] == offset + 1:
                    outputs[key] |= self.output(key, offset)
            self.outputs.append(outputs)

    def output(self, key: int, offset: int) -> int:
        """Return the bit of what a key publishes for an input."""
        return 1 << (offset * len(self.keys) + key)

    def applied(self, key: int, offset: int, content: int) -> str | None:
        """An input is applied to a state that includes exactly what was before it."""
        wanted = self.wanted[offset][key]
        if content == wanted:
            return None
        what = "applied twice" if content > wanted else "applied although others are missing"
        return f"input {offset} is {what}: {self.keys[key]} includes what is before {content}"

    def labelled(self, key: int, position: int, content: int) -> str | None:
        """A record's position is not below its content's, and its content is all there is below."""
        if not self.is_strict or self.wanted[position][key] == content:
            return None
        return f"a record of {self.keys[key]} at {position} includes what is before {content}"

    def landed(self, world: World, record: Record) -> str | None:
        """What a record includes was published before it landed."""
        if record.position == NOTHING or record.epoch != world.epoch:
            return None
        if self.is_strict and self.outputs[record.content][record.key] & ~world.published:
            return (
                f"a record of {self.keys[record.key]} landed before what it includes was published"
            )
        return self.changelog(world)

    def committed(self, world: World, process: Owning, safe: int) -> str | None:
        """The commit is not above the position, below the last, or ahead of the changelog."""
        if not self.is_strict:
            return None
        is_back = safe < world.committed <= world.end and not self.goes_back
        if is_back or safe > process.position:
            return f"{safe} is committed after {world.committed}, at {process.position}"
        return self.changelog(world._replace(committed=safe))

    def changelog(self, world: World) -> str | None:
        """The changelog alone is enough to go on from the commit."""
        if not self.is_strict or world.committed > world.end:
            return None
        restored: list[Any] = [()] * len(self.keys)
        for _, key, position, content, epoch in world.log:
            if key == len(self.keys):
                continue
            if position == NOTHING:
                restored[key] = ()
            elif not restored[key] or position >= restored[key].position:
                restored[key] = Kept(position, content, epoch)
        for key, wanted in enumerate(self.wanted[world.committed]):
            kept = restored[key]
            content = kept.content if kept and kept.epoch == world.epoch else 0
            if content < wanted:
                name = f"{self.keys[key]}@{wanted}"
                return f"{world.committed} is committed, but the changelog lacks {name}"
        return None

    def persisted(self, world: World, table: tuple[Any, ...], offset: int) -> str | None:
        """A table with an offset lacks nothing of what the changelog holds up to there."""
        if not self.is_strict or offset == NOTHING:
            return None
        last = {each.key: each for each in world.log if each.offset <= offset}
        for key, kept in enumerate(table):
            if key not in last or last[key].epoch < world.epoch:
                continue
            position = kept.position if kept and kept.epoch == world.epoch else NOTHING
            if position < last[key].position:
                return f"the table says {offset}, and lacks the {self.keys[key]} that is there"
        return None

    def restored(self, world: World, states: list[Any], position: int) -> str | None:
        """What a worker begins with includes all input before its position, once, and published."""
        for key, state in enumerate(states):
            label, content = state or (0, 0)
            upto = max(label, position)
            if upto > world.end:
                return (
                    f"{self.keys[key]} is restored as of {upto}, but the input ends at {world.end}"
                )
            wanted = self.wanted[upto][key]
            if content != wanted:
                what = (
                    "lacks input"
                    if content < wanted
                    else "is going to be told again what it includes"
                )
                return (
                    f"{self.keys[key]} {what}: restored as of {upto}, "
                    f"it includes what is before {content}"
                )
            if self.outputs[content][key] & ~world.published:
                return f"what {self.keys[key]} publishes up to {content} was never published"
        return None
