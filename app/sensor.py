"""A failed send is fatal: Faust only logs it and commits the input all the same (F4)."""

from __future__ import annotations

import asyncio
import logging
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
