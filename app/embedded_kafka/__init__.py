"""A real Kafka broker inside this installation: KRaft, loopback only, no Docker, no system Java."""

from __future__ import annotations

from app.embedded_kafka.broker import EmbeddedBroker
from app.embedded_kafka.errors import (
    BrokerDied,
    DataDirectoryForeign,
    DataDirectoryInUse,
    DiskFull,
    EmbeddedKafkaError,
    JarsUnavailable,
    JavaUnusable,
    PortTaken,
)

__all__ = [
    "BrokerDied",
    "DataDirectoryForeign",
    "DataDirectoryInUse",
    "DiskFull",
    "EmbeddedBroker",
    "EmbeddedKafkaError",
    "JarsUnavailable",
    "JavaUnusable",
    "PortTaken",
]
