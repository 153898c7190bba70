"""What is explored: by `make test`, further by `make prove`, and without one rule or another."""

from __future__ import annotations

from typing import Final

from tests.model.rules import Bounds

CHECKED: Final = {
    "two owners": Bounds("xyx", takeovers=2, checkpoints=1),
    "three owners": Bounds("xx", checkpoints=1, compactions=1),
    "repeated appends": Bounds("xy", takeovers=2, lost_disks=0, compactions=1, repeats=1),
    "ticks": Bounds("xy*", workers=1, takeovers=2, compactions=1),
    "states not in memory": Bounds("xy", takeovers=2, lost_disks=0, compactions=1, is_lazy=True),
    "changelog made anew": Bounds(
        "xy", workers=1, checkpoints=1, changelogs_anew=1, keeps_tables=True
    ),
    "input made anew": Bounds("xy", workers=1, checkpoints=1, feeds_anew=1, on_the_wire=0),
}
"""By `make test`: more than a million states."""

FURTHER: Final = {
    "two owners": Bounds("xyx", takeovers=2, compactions=1),
    "three owners": Bounds("xyx", checkpoints=1, compactions=1),
    "four owners": Bounds("xx", takeovers=4, checkpoints=1, compactions=1),
    "three workers": Bounds("xx", workers=3, checkpoints=1, on_the_wire=2),
    "repeated appends": Bounds("xyx", takeovers=2, lost_disks=0, compactions=1, repeats=2),
    "ticks": Bounds("x*y*", takeovers=2, checkpoints=1, compactions=1),
    "states not in memory": Bounds("xy", compactions=1, is_lazy=True),
    "changelog made anew": Bounds("xx", checkpoints=2, changelogs_anew=1),
    "input made anew": Bounds("xyx", workers=1, takeovers=4, feeds_anew=1, on_the_wire=0),
}
"""By `make prove`."""

_ONE: Final = Bounds("xx", workers=1, checkpoints=1)

NEEDED: Final = {
    "own_position": _ONE._replace(takeovers=4, lost_disks=0),
    "highest_wins": _ONE,
    "doubt": _ONE._replace(feed="xxy", compactions=1),
    "repair": _ONE._replace(takeovers=4, compactions=1),
    "offset_waits": Bounds("xx", takeovers=4, lost_disks=0, compactions=1),
    "changelog_first": Bounds("x", takeovers=2, checkpoints=1, lost_disks=0),
    "outputs_first": Bounds("x", takeovers=2, checkpoints=1, lost_disks=0),
    "lock": Bounds("xx", takeovers=2, lost_disks=0),
    "safe_position": Bounds("xy", takeovers=2, checkpoints=1, lost_disks=0),
    "table_last": Bounds("x"),
    "generations": Bounds("xx", checkpoints=1),
    "confirm": Bounds("xx", takeovers=2, checkpoints=1, lost_disks=0),
    "rebase": Bounds("x", takeovers=2, checkpoints=1, lost_disks=0, feeds_anew=1),
    "deletion_first": Bounds("xy", workers=1, checkpoints=1, feeds_anew=1, on_the_wire=0),
    "notice_changelog": Bounds("x", takeovers=2, checkpoints=1, lost_disks=0, changelogs_anew=1),
}
"""Rules without which input is lost or applied twice, and where that is found."""

HARMLESS: Final = {
    "fence": Bounds("xy", takeovers=2, checkpoints=1, compactions=1),
    "doubt": _ONE._replace(feed="xxy", compactions=0),
}
"""Rules without which nothing is found within these bounds."""

LIMITS: Final = {
    "compaction before the lag": _ONE._replace(compactions=1, is_any_compaction=True),
    "tables of a deleted changelog": Bounds(
        "x", checkpoints=1, lost_disks=0, changelogs_anew=1, keeps_tables=True
    ),
    "late writes to an input made anew": Bounds("x", feeds_anew=1),
}
"""What the product does not hold against, with all its rules: docs/model.md says so."""
