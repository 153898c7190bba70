"""Describes what the state asks of Faust: this worker's place in its group, and what it reads."""

from __future__ import annotations

from typing import Any, Protocol

from faust_exact.reachability import Reach


class Membership(Protocol):
    """The worker as a member of its consumer group; the app of app/worker.py is one."""

    reach: Reach
    rebalancing: bool
    rebalancing_count: int
    in_recovery: bool
    consumer: Any
    tables: Any
    router: Any

    @property
    def consumer_is_ready(self) -> bool:
        """Return whether the consumer has been given its partitions at least once."""
