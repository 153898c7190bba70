"""The checker's report: five figures, the sizes of what was compared, and the first offenders."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

MAX_OFFENDERS: Final = 5
"""Named per kind of violation; all are counted."""


@dataclass(slots=True)
class Report:
    """The result of one check; `ok` is what matters."""

    seed: int = 0
    lost: int = 0
    """Windows that the feed gives and nobody published; notifications that a session did not get
    between two that it got; records of the feed that no commit covers."""
    missing: int = 0
    """Notifications that the venue published and no session of ours received, whatever the reason:
    most of them while no session was there."""
    flagged: int = 0
    """Windows that say that something is not known of them, or that were never published, although
    they are whole by the venue's own log."""
    dup_effect: int = 0
    """Published windows, repeats included, that differ from the oracle's; and complete ones whose
    numbers are not those of the venue's own log."""
    hash_equal: bool = True
    """Whether every state that a recovery would load is the oracle's as of its position."""
    wrong_served: int = 0
    """Answers marked live that are not the oracle's as of their change_id."""
    ttr_s: float | None = None
    ttr_limit_s: float | None = None
    """What `ttr_s` may be at most; a run that took longer is not ok."""
    compared: dict[str, int] = field(default_factory=dict)
    """What was looked at: a check of nothing finds nothing. `stray_frames` were refused."""
    offenders: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Return whether nothing is wrong, and nothing took longer than it may."""
        return self.is_exact and not self.is_late

    @property
    def is_exact(self) -> bool:
        """Return whether nothing is wrong, however long it took."""
        return not self.lost and not self.dup_effect and self.hash_equal and not self.wrong_served

    @property
    def is_late(self) -> bool:
        """Return whether it took longer than allowed until all was live again."""
        if self.ttr_s is None or self.ttr_limit_s is None:
            return False
        return self.ttr_s > self.ttr_limit_s

    def count(self, what: str, number: int = 1) -> None:
        """Add to what was compared."""
        self.compared[what] = self.compared.get(what, 0) + number

    def name(self, kind: str, offender: str) -> None:
        """Name an offender, unless enough of its kind are named."""
        named = self.offenders.setdefault(kind, [])
        if len(named) < MAX_OFFENDERS:
            named.append(offender)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as one JSON object."""
        return {"ok": self.ok, **asdict(self)}
