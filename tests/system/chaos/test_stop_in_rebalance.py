"""F14: a rebalance begins while a worker that was told to stop is not done yet."""

from __future__ import annotations

import signal
import time

import pytest

from app.settings import Settings
from tests.harness.pipeline import Pipeline
from tests.system.chaos.run import STOP_LIMIT_S

pytestmark = [pytest.mark.chaos_quick, pytest.mark.timeout(90)]


@pytest.mark.parametrize("slow_in", ["slow_commits", "slow_stop"])
def test_two_workers_stop_at_once(installation: Settings, slow_in: str) -> None:
    with Pipeline(installation) as pipeline:
        pipeline.start_exchange("--instruments", "4", "--rate", "200")
        other = pipeline.start_worker(2)
        pipeline.application = f"tests.harness.{slow_in}"
        slow = pipeline.start_worker(1)
        for worker in (slow, other):
            worker.wait_ready()
        began = time.monotonic()
        slow.signal(signal.SIGTERM)
        # It leaves the group while the slow one still stops, which waits for that.
        assert other.stop() == 0, other.tail()
        assert slow.wait() == 0, slow.tail()
        assert time.monotonic() - began <= STOP_LIMIT_S
        said = slow.log.read_text()
        assert "because it is rebalancing" in said
        assert "Traceback" not in said
