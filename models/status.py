"""The status of an instrument's numbers, in one word; from the best to the worst."""

from __future__ import annotations

from typing import Final, Literal, get_args

Status = Literal["retired", "live", "stale", "resyncing", "gap", "recovering", "waiting"]
"""What an answer carries. What is retired claims no number, so it makes no answer worse."""
FeedStatus = Literal["retired", "live", "stale", "resyncing", "gap", "waiting"]
"""What the feed alone can say, and so the records of `live`. Who reads them adds `recovering`: the
table `latest` after a missed record, a view of an instrument between two owners."""

STATUSES: Final[tuple[Status, ...]] = get_args(Status)
FEED_STATUSES: Final[tuple[FeedStatus, ...]] = get_args(FeedStatus)
