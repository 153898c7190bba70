"""The thread of the Kafka client, which lives through what ends a client of aiokafka.

aiokafka hands what it does not understand to whoever reads by its own `getmany`. Faust reads past
that: a member that may not join its group, or whose heartbeat was answered with a word not
expected, stood still for ever without a line (F19).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from faust_exact.outage_patience import ASK_AGAIN_S, make_patient, patiently, refusal

log = logging.getLogger("steelyard.kafka")

T = TypeVar("T")

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
        make_patient(client._client)
        return client

    async def on_start(self) -> None:
        """Start the client, and have its coordinator's troubles told."""
        await super().on_start()
        coordinator = self._coordinator
        coordinator._push_error_to_user = self._coordination_failed
        coordinator._coordination_task.add_done_callback(self._coordination_ended)

    async def _coordination_failed(self, error: BaseException) -> None:
        """End the worker if it may not be in the group; otherwise join the group anew."""
        told = refusal(error)
        if told is not None:
            self._end(told)
            await self._coordinator._closing
            return
        log.warning("%r while the group was coordinated: joining it anew", error)
        await asyncio.sleep(ASK_AGAIN_S)
        self._coordinator.request_rejoin()

    def _coordination_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end(error)

    def _end(self, error: BaseException) -> None:
        """End the worker: nothing here can go on. Called in this thread."""
        log.error("%s: the worker ends", error)
        asyncio.run_coroutine_threadsafe(self.app.crash(error), self.parent_loop)

    @property
    def _coordinator(self) -> Any:
        return self._ensure_consumer()._coordinator

    @property
    def knows_coordinator(self) -> bool:
        """Whether it is known which broker coordinates the group; not so while none can."""
        return self._consumer is None or self._coordinator.coordinator_id is not None

    @property
    def is_member(self) -> bool:
        """Whether the group knows this worker; not so after an outage that outlived its session."""
        return self._consumer is not None and self._coordinator.generation > 0

    # What a take-over asks has to be answered some time; an outage in its middle ended the worker.

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Return the first offsets that there are."""
        ask = super().earliest_offsets
        return await self._patiently(lambda: ask(*partitions))

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Return the ends of partitions."""
        ask = super().highwaters
        return await self._patiently(lambda: ask(*partitions))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to what is committed, and return it."""
        return await self._patiently(super().seek_to_committed)

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Go to offsets, and wait until the client is there."""
        seek = super().seek_wait
        await self._patiently(lambda: seek(partitions))

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        generation = self.app.consumer_generation_id

        def goes_on() -> bool:
            is_same = self.app.consumer_generation_id == generation
            return is_same and not self.should_stop and not self.app.should_stop

        return await patiently(ask, goes_on)

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
