"""Faust's producer, with batches; what Kafka refuses ends the worker, and nothing else does.

How batches are compressed depends on what is in them (docs/decisions/0009-records-and-batches.md).
Windows, and the `closed` beside them, with zstd: a window costs 9 µs and becomes a fifth, where the
client's lz4, which is of level 9, takes 24 to 41 µs for a third. The few hundred bytes of live
frames with snappy: 9 to 19 µs, where lz4 takes 40 to 79.

Every record of the process goes this way, Faust's own included. Of one that Kafka refused nobody
may have been waiting for the answer, and the input would be committed all the same (F4). So the
answers are looked at here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.structs import RecordMetadata
from faust.exceptions import ProducerSendError
from faust.transport.drivers import aiokafka as driver

from faust_exact.outage_patience import PatientProducer, patiently, refusal

log = logging.getLogger("steelyard.producer")

SNAPPY: Final[int] = DefaultRecordBatch.CODEC_SNAPPY
"""For batches of a few hundred bytes."""
ZSTD: Final[int] = DefaultRecordBatch.CODEC_ZSTD
"""For larger ones."""
FLUSH_TIMEOUT_S: Final = 1.0
"""Faust flushes when partitions are given up, which must not wait for a broker that is away. What
a commit includes has been waited for before."""


class ExactProducer(driver.Producer):  # type: ignore[misc]
    """A producer that takes records by the batch, too: one future for all of it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._unacknowledged: dict[asyncio.Future[Any], tuple[str, float]] = {}
        """The topic of each send that Kafka has not answered, and since when; oldest first."""

    @property
    def _producer_type(self) -> type[PatientProducer]:
        return PatientProducer

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    def create_batch(self, codec: int = ZSTD) -> BatchBuilder:
        """Return an empty batch, which takes records until it is full."""
        return BatchBuilder(self.max_batch_size, codec)

    async def send_batch(
        self, topic: str, partition: int, batch: BatchBuilder
    ) -> asyncio.Future[RecordMetadata]:
        """Hand over a batch; wait while the one before it has not gone to Kafka."""
        batch.close()
        producer = self._ensure_producer()
        return await self._hand_over(
            topic, lambda: producer.send_batch(batch, topic, partition=partition)
        )

    async def send(self, topic: str, *record: Any, **options: Any) -> asyncio.Future[Any]:
        """Hand over a record; wait while there is no room for it."""
        send = super().send

        async def attempt() -> asyncio.Future[Any]:
            try:
                sent: asyncio.Future[Any] = await send(topic, *record, **options)
            except ProducerSendError as error:
                raise error.__cause__ or error from None
            return sent

        return await self._hand_over(topic, attempt)

    async def _hand_over(
        self, topic: str, attempt: Callable[[], Awaitable[asyncio.Future[Any]]]
    ) -> asyncio.Future[Any]:
        try:
            # It fails for an outage while it is not known yet who leads the topic.
            sent = await patiently(attempt, lambda: not self.app.should_stop)
        except KafkaError as error:
            self._end(topic, error)
            raise ProducerSendError(f"{topic}: {error!r}") from error
        self._unacknowledged[sent] = topic, time.monotonic()
        sent.add_done_callback(self._answered)
        return sent

    async def flush(self) -> None:
        """Wait until Kafka has what was sent, but not for long; after a crash, not at all."""
        if self.app.crashed:
            return  # Faust's buffer does not run any more, and would raise in the middle of a stop
        try:
            await asyncio.wait_for(super().flush(), FLUSH_TIMEOUT_S)
        except TimeoutError:
            log.info("%s waits for Kafka", self.waiting()[0])

    def waiting(self) -> tuple[str, float]:
        """Return the topic of the oldest send that Kafka has not answered, and for how long, in s.

        An empty name, and 0, if there is none.
        """
        topic, since = next(iter(self._unacknowledged.values()), ("", 0.0))
        return topic, time.monotonic() - since if topic else 0.0

    def _answered(self, sent: asyncio.Future[Any]) -> None:
        topic, _ = self._unacknowledged.pop(sent)
        if not sent.cancelled() and (error := sent.exception()) is not None:
            self._end(topic, error)

    def _end(self, topic: str, error: BaseException) -> None:
        """End the worker, unless it is ending anyway."""
        if not self.app.should_stop:
            log.error("Kafka refused a record for %s: %r; the worker ends", topic, error)
            self.app.add_future(self.app.crash(refusal(error) or error))
