"""Whether Kafka serves this worker, and since when it does not: for the views and for the watchdog.

It serves if the partitions held here can be read, what was sent is acknowledged, and the group has
a coordinator. Reading is tried by a client of its own: the worker's may be busy with a rebalance.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from faust_exact.outage_patience import make_patient, refusal

log = logging.getLogger("steelyard.kafka")

LOOK_EVERY_S: Final = 1.0
ANSWER_TIMEOUT_S: Final = 5.0


class Reach:
    """Asks Kafka, again and again; `problem` is empty as long as all is well."""

    def __init__(self, app: Any) -> None:
        self.problem = ""
        self._app = app
        self._lost_at = 0.0
        self._no_coordinator_since: float | None = None

    @property
    def is_lost(self) -> bool:
        """Whether Kafka does not serve this worker."""
        return bool(self.problem)

    @property
    def reason(self) -> str:
        """Why this worker cannot work, and since when; empty if it can."""
        if not self.problem:
            return ""
        return f"{self.problem}; for {time.monotonic() - self._lost_at:.0f} s"

    async def run(self) -> None:
        """Look once a second, as long as the worker runs."""
        servers = self._app.options.kafka.split(",")
        client = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
        make_patient(client._client)
        try:
            await client.start()
            while not self._app.should_stop:
                self.say(await self._look(client), time.monotonic())
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            await client.stop()

    def say(self, problem: str, now: float) -> None:
        """Note what is wrong now, and log when it begins and ends: once each, however long."""
        if problem and not self.problem:
            self._lost_at = now
            log.warning("%s", problem)
        elif self.problem and not problem:
            log.info("Kafka answers again, after %.0f s", now - self._lost_at)
        self.problem = problem

    async def _look(self, client: AIOKafkaConsumer) -> str:
        """Return what is wrong; an empty text if nothing is."""
        tps = [
            TopicPartition(tp.topic, tp.partition)
            for keeper in self._app.keepers
            for number in list(keeper.partitions) or [0]
            for tp in (keeper.input_tp(number), keeper.changelog_tp(number))
        ]
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await client.end_offsets(tps)
        except TimeoutError:
            return f"Kafka does not answer within {ANSWER_TIMEOUT_S:.0f} s"
        except KafkaError as error:
            if refusal(error) is None:
                return f"Kafka does not answer: {error!r}"
        topic, waits_s = self._app.producer.waiting()
        if waits_s > ANSWER_TIMEOUT_S:
            return f"Kafka does not acknowledge what is sent to {topic}"
        now = time.monotonic()
        if self._app.knows_coordinator:
            self._no_coordinator_since = None
        elif self._no_coordinator_since is None:
            self._no_coordinator_since = now
        elif now - self._no_coordinator_since > ANSWER_TIMEOUT_S:
            return "Kafka has no coordinator for the group of the workers"
        return ""
