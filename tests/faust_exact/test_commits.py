"""What a commit that was taken, or refused, means for the partitions that it was of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from faust_exact.consumer import ExactConsumer

TAKEN, OTHER = TP("feed", 0), TP("live", 0)


class Told:
    """A keeper that notes what it is told."""

    def __init__(self) -> None:
        self.committed_tps: list[TP] = []
        self.committed = self.committed_tps.append

    def wants(self, tp: TP) -> bool:
        return tp.topic == "feed"


@pytest.mark.parametrize("is_taken", [True, False])
async def test_who_holds_a_partition_is_told_of_its_commit(
    monkeypatch: pytest.MonkeyPatch, is_taken: bool
) -> None:
    async def commit(consumer: Any, offsets: Any) -> bool:
        return is_taken

    keeper = Told()
    monkeypatch.setattr(driver.Consumer, "_commit", commit)
    consumer: Any = ExactConsumer.__new__(ExactConsumer)
    consumer.app = SimpleNamespace(keepers=[keeper])
    assert await consumer._commit({TAKEN: 3, OTHER: 4}) is is_taken
    assert keeper.committed_tps == ([TAKEN] if is_taken else [])
