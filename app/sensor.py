"""What Faust tells sensors: a failed send, which is fatal here, and how long a recovery took.

A record that Kafka refuses Faust only logs, and commits the input all the same (F4).
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from faust.sensors.base import Sensor

log = logging.getLogger("steelyard.producer")


class FatalSendErrors(Sensor):  # type: ignore[misc]
    """Crashes the app when Kafka refuses a record; what was not committed is then replayed."""

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.app = app

    def on_send_error(self, producer: Any, exc: BaseException, state: Any) -> None:
        """Stop the worker, unless it is stopping anyway."""
        if isinstance(exc, asyncio.CancelledError) or self.app.should_stop:
            return
        log.error("Kafka did not take a record: %r; the worker stops", exc)
        self._crash = asyncio.ensure_future(self.app.crash(exc))


class RecoveryTimes(Sensor):  # type: ignore[misc]
    """Measures from the beginning of a rebalance until the tables are recovered."""

    def __init__(self, times: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.times = times
        """The histogram that is told, in seconds."""

    def on_rebalance_end(self, app: Any, state: dict[str, Any]) -> None:
        """Note the time since the rebalance began."""
        self.times.observe(time.monotonic() - state["time_start"])
