"""Why an embedded broker cannot run: one class per cause that a person mends differently."""

from __future__ import annotations

from app.errors import UserError


class EmbeddedKafkaError(UserError):
    """The embedded broker cannot start or go on."""


class PortTaken(EmbeddedKafkaError):
    """Something else listens on the port that was asked for."""


class JarsUnavailable(EmbeddedKafkaError):
    """The broker's jars are neither cached nor to be downloaded now."""


class DiskFull(EmbeddedKafkaError):
    """There is too little room for the broker's logs."""


class DataDirectoryForeign(EmbeddedKafkaError):
    """The data directory holds something that this broker must not touch."""


class DataDirectoryInUse(EmbeddedKafkaError):
    """Another broker runs on this data directory."""


class JavaUnusable(EmbeddedKafkaError):
    """The Java runtime does not start."""


class BrokerDied(EmbeddedKafkaError):
    """The broker ended, or never answered, for a reason that only its log knows."""
