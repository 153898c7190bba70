"""`max_age_ms`: a client that can't use an old number is refused rather than given one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.api.problems import Problem
from app.api.query import IntegerParameter

MAX_AGE: Final = IntegerParameter(
    "max_age_ms",
    "Answer 503 unless the numbers are live and at most so old.",
    low=0,
    high=86_400_000,
)
NAMED: Final = 5
"""How many of the instruments that are too old an error names."""


def check_age(query: Mapping[str, str], rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Raise a 503 problem if a row is not live, or older than the query's `max_age_ms`.

    Rows are the instrument's name with at least `status` and `age_ms`.
    """
    if MAX_AGE.name not in query:
        return
    limit_ms = MAX_AGE.of(query)
    late = [
        f"{name} ({row['status']}, {row['age_ms']} ms)"
        for name, row in rows
        if row["status"] != "live" or row["age_ms"] is None or row["age_ms"] > limit_ms
    ]
    if late:
        more = f" and {len(late) - NAMED} more" if len(late) > NAMED else ""
        detail = f"not live within {limit_ms} ms: {', '.join(late[:NAMED])}{more}"
        raise Problem(503, "too-old", detail, retry=True)
