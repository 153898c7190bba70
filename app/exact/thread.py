"""The thread of the Kafka client."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

FETCH_WAIT_MS: Final = 50
"""A fetch leaves out partitions whose records still wait to be processed, and is the only one under
way to its broker. With Faust's 1,500 ms a worker that had once fallen behind, as after a takeover,
was given its busy partitions only every 1.5 s, and so stayed seconds behind for good."""
CALM_FETCH_WAIT_MS: Final = 250
"""The same while everything that the keepers want is looped back: what is fetched then is mostly
`live`, which comes so often by itself. Twenty fetches of nothing a second took 5 % of a busy
worker's time."""


class ExactThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread of the Kafka client: fetches promptly, and ends although a rebalance goes on."""

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> Any:
        client = super()._create_consumer(loop)
        client._fetch_max_wait_ms = FETCH_WAIT_MS  # read when the client starts; Faust sets it
        return client

    def let_fetches_wait(self, wait_ms: int) -> None:
        """Have the broker answer the next fetches after so long, if there is nothing."""
        fetcher = self._ensure_consumer()._fetcher
        if fetcher is not None:
            fetcher._fetch_max_wait_ms = wait_ms

    def close(self) -> None:
        """Do nothing: the stop that is under way closes the client, in its own thread.

        Faust calls this when a rebalance comes during a stop, and closed the client and its
        coordinator from the main thread's loop: what was under way was never answered.
        """

    # A stop cancels the calls that the main thread has under way here. If one of them is part of a
    # rebalance, the cancellation came back here as the callback's own, ended the coordinator's
    # task, and the main thread waited for this one for ever (F14).

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Have partitions given up; not longer than until this thread is to stop."""
        await self.wait(super().on_partitions_revoked(revoked))

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Have partitions taken over; not longer than until this thread is to stop."""
        await self.wait(super().on_partitions_assigned(assigned, generation_id))
