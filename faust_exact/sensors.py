"""What Faust tells sensors: how long a recovery took."""

from __future__ import annotations

import time
from typing import Any

from faust.sensors.base import Sensor


class RecoveryTimes(Sensor):  # type: ignore[misc]
    """Measures from the beginning of a rebalance until the tables are recovered."""

    def __init__(self, times: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.times = times
        """The histogram that is told, in seconds."""

    def on_rebalance_end(self, app: Any, state: dict[str, Any]) -> None:
        """Note the time since the rebalance began."""
        self.times.observe(time.monotonic() - state["time_start"])
