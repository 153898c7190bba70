"""A Kafka producer for a command, that fails with a message and not with a traceback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from app.errors import UserError
from app.settings import Settings
from app.topics.admin import ensure_topics

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

REQUEST_TIMEOUT_MS: Final = 15_000
MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024


@asynccontextmanager
async def producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """Yield a started producer, the topics being there; raise UserError if Kafka refuses."""
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import KafkaError

    await ensure_topics(settings)
    client = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        acks="all",
        compression_type="zstd",  # the client's lz4 takes five times as long for frames this large
        max_request_size=MAX_REQUEST_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    try:
        await client.start()
        yield client
    except KafkaError as error:
        raise UserError(f"Kafka at {settings.kafka} (STEELYARD_KAFKA): {error!r}") from error
    finally:
        await client.stop()
