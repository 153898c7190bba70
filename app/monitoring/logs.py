"""Logs: one line per change of state, for people or as JSON, and never a secret in one.

Modules log by the standard library. Here their records become structlog's events, with a time in
UTC, the level, the logger and the worker; `extra` of a record becomes fields of the line.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog
from structlog.typing import EventDict, Processor

if TYPE_CHECKING:
    from app.settings import Settings

HIDDEN: Final = "[secret]"
MIN_SECRET_CHARS: Final = 4
"""A shorter one is hidden only where it stands alone: in a text it may be part of any word."""


QUIET_LOGGERS: Final = ("mode", "faust", "aiokafka", "app", "faust_exact")
"""They tell of every service and partition at INFO; ours, `steelyard.…`, of changes of state."""


OURS: Final = "steelyard"
LIKE_IT_PER_MINUTE: Final = 3
OURS_LIKE_IT_PER_MINUTE: Final = 20
"""Ours are of changes; but an overflow is one of each channel."""
OF_A_LOGGER_PER_MINUTE: Final = 20
MINUTE_S: Final = 60.0
MOST_COMPARED: Final = 60
"""Characters of a text."""

log = logging.getLogger("steelyard.logs")


class RepeatLimit(logging.Filter):
    """Lets through a few lines a minute of what is said again and again, and counts the rest.

    While Kafka is away its clients repeat the same line many times a second.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = monotonic
        self._begun_s = 0.0
        self._passed: Counter[tuple[str, str]] = Counter()
        """In this minute: lines like each other of a logger and, without a text, all of it."""
        self._left_out: Counter[str] = Counter()
        """In this minute, by logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record becomes a line."""
        now = self._now()
        if now - self._begun_s >= MINUTE_S:
            self._begin(now)
        is_ours = record.name.partition(".")[0] == OURS
        # Texts that were put together before differ by their numbers.
        like = record.name, re.sub(r"\d+", "#", str(record.msg)[:MOST_COMPARED])
        all_of_it = record.name, ""
        most = OURS_LIKE_IT_PER_MINUTE if is_ours else LIKE_IT_PER_MINUTE
        is_much = not is_ours and self._passed[all_of_it] >= OF_A_LOGGER_PER_MINUTE
        if is_much or self._passed[like] >= most:
            self._left_out[record.name] += 1
            return False
        self._passed[like] += 1
        self._passed[all_of_it] += 1
        return True

    def _begin(self, now: float) -> None:
        """Begin a minute, and say what was left out in the one before."""
        self._begun_s = now
        self._passed.clear()
        left_out, self._left_out = self._left_out, Counter()
        if left_out:
            counts = ", ".join(f"{count} of {name}" for name, count in left_out.most_common())
            log.info("lines like others were left out: %s", counts)


def logging_config(configured: Settings) -> dict[str, Any]:
    """Return the configuration of the standard library's logging."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "steelyard": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": before(configured.worker_name),
                "processors": after(configured.log_format, secrets_of(configured)),
            }
        },
        "filters": {"restraint": {"()": RepeatLimit}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "filters": ["restraint"],
                "formatter": "steelyard",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"level": "INFO", "handlers": ["stderr"]},
        "loggers": {name: {"level": "WARNING"} for name in QUIET_LOGGERS},
    }


def before(worker: str) -> list[Processor]:
    """Return what makes an event of a record."""

    def add_worker(_: Any, __: str, event: EventDict) -> EventDict:
        event["worker"] = worker
        return event

    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        add_worker,
    ]


def after(log_format: str, secrets: Iterable[str]) -> list[Processor]:
    """Return what makes a line of an event."""
    without = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    hide = SecretFilter(secrets)
    if log_format == "json":
        return [
            without,
            structlog.processors.format_exc_info,
            hide,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ]
    colors = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    return [
        without,
        structlog.processors.format_exc_info,
        hide,
        structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0),
    ]


class SecretFilter:
    """Takes secrets out of whatever is to be logged, tracebacks included."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def __call__(self, _: Any, __: str, event: EventDict) -> EventDict:
        """Return the event without secrets."""
        for name, value in event.items():
            event[name] = self.hidden(value)
        return event

    def hidden(self, value: Any) -> Any:
        """Return a value without secrets, at any depth."""
        if isinstance(value, str):
            for secret in self.secrets:
                if len(secret) >= MIN_SECRET_CHARS or value == secret:
                    value = value.replace(secret, HIDDEN)
            return value
        if isinstance(value, Mapping):
            return {name: self.hidden(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hidden(item) for item in value]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.hidden(str(value))


def secrets_of(configured: Settings) -> list[str]:
    """Return what must not be in any line."""
    found = [] if configured.web_token is None else [configured.web_token.get_secret_value()]
    credentials = configured.credentials
    if credentials is not None:
        found.append(credentials.client_secret)
    return found
