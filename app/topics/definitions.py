"""The project's topics as data: what each is for, and what it must look like.

Names follow from that of the installation: `feed` and `steelyard-books-changelog` of the default,
`NAME-feed` and `steelyard-NAME-books-changelog` of another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from app.settings import Settings

FEED_RETENTION_MS: Final = 24 * 3_600_000
FEED_PARTITION_BYTES: Final = 4 * 1024**3
WINDOWS_RETENTION_MS: Final = 7 * 24 * 3_600_000
LIVE_RETENTION_MS: Final = 3_600_000
CLOSED_RETENTION_MS: Final = 24 * 3_600_000
"""As long as the feed: a history that is lost is read again from here."""
REFUSED_RETENTION_MS: Final = 7 * 24 * 3_600_000
REFUSED_PARTITION_BYTES: Final = 64 * 1024**2
CONTROL_RETENTION_MS: Final = 3_600_000
RECORD_BYTES: Final = 4 * 1024**2
SEGMENT_BYTES: Final = 64 * 1024**2
LIVE_SEGMENT_BYTES: Final = 16 * 1024**2
CHANGELOG_COMPACTION_LAG_MS: Final = 3_600_000
"""For this long every write to a changelog is kept: what a worker wrote after it had lost the
partition (a zombie) can then still be told from what the new owner wrote."""
CHANGELOG_MAX_COMPACTION_LAG_MS: Final = 6 * 3_600_000
MIN_ISR: Final = "min.insync.replicas"
MOST_IN_SYNC: Final = 2
"""Copies that must have a record before it is acknowledged. With two copies in all, a worker waits
while one of two brokers is away; three copies go on."""
TABLES: Final = ("books", "history", "subscriptions", "latest")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be; `configs` are Kafka's own words."""

    name: str
    partitions: int
    replication: int
    purpose: str
    configs: dict[str, str] = field(default_factory=dict)

    @property
    def policy(self) -> str:
        return self.configs["cleanup.policy"]


def topics(settings: Settings) -> tuple[Topic, ...]:
    """Return all topics of this installation, in the order of the flow."""
    prefix = settings.topic_prefix
    deleted = {"cleanup.policy": "delete"}
    compacted = {
        "cleanup.policy": "compact",
        "segment.bytes": str(SEGMENT_BYTES),
        "max.compaction.lag.ms": str(CHANGELOG_MAX_COMPACTION_LAG_MS),
        "min.cleanable.dirty.ratio": "0.2",
    }
    own: dict[str, tuple[str, dict[str, str]]] = {
        "feed": (
            "frames of raw notifications: the log that everything is computed from",
            deleted
            | {
                "retention.ms": str(FEED_RETENTION_MS),
                "retention.bytes": str(FEED_PARTITION_BYTES),
                "segment.bytes": str(SEGMENT_BYTES),
            },
        ),
        "windows": (
            "one record per closed window",
            deleted | {"retention.ms": str(WINDOWS_RETENTION_MS)},
        ),
        "closed": (
            "the closed windows of a partition, many in one record, for the history",
            deleted
            | {
                "retention.ms": str(CLOSED_RETENTION_MS),
                "segment.bytes": str(LIVE_SEGMENT_BYTES),
            },
        ),
        "live": (
            "current state of each instrument, conflated",
            deleted
            | {
                "retention.ms": str(LIVE_RETENTION_MS),
                "segment.bytes": str(LIVE_SEGMENT_BYTES),
            },
        ),
        "refused": (
            "what was not understood, with the reason",
            deleted
            | {
                "retention.ms": str(REFUSED_RETENTION_MS),
                "retention.bytes": str(REFUSED_PARTITION_BYTES),
                "segment.bytes": str(LIVE_SEGMENT_BYTES),
            },
        ),
        "subscriptions": ("which instruments to ingest", compacted),
        "installation": (
            "whose topics these are: the first record is the one that counts",
            deleted | {"retention.ms": "-1"},
        ),
        "control": (
            "requests between agents, such as a resync",
            deleted
            | {
                "retention.ms": str(CONTROL_RETENTION_MS),
                "segment.bytes": str(LIVE_SEGMENT_BYTES),
            },
        ),
    }
    changelog = compacted | {"min.compaction.lag.ms": str(CHANGELOG_COMPACTION_LAG_MS)}
    all_topics = [(prefix + name, purpose, configs) for name, (purpose, configs) in own.items()]
    all_topics += [
        (changelog_name(settings.app_id, table), f"changelog of table {table}", changelog)
        for table in TABLES
    ]
    common = {
        "max.message.bytes": str(RECORD_BYTES),
        # By Kafka's clock: a replay of last year's recording would otherwise be deleted at once.
        "message.timestamp.type": "LogAppendTime",
        # What is acknowledged survives the loss of a broker, where there is more than one copy.
        MIN_ISR: str(min(MOST_IN_SYNC, settings.replication)),
    }
    return tuple(
        Topic(name, settings.partitions, settings.replication, purpose, common | configs)
        for name, purpose, configs in all_topics
    )


def changelog_name(app_id: str, table: str) -> str:
    """Return the changelog's name as Faust makes it."""
    return f"{app_id}-{table}-changelog"
