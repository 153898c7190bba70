"""An instrument is in the partition that Kafka's own clients would put its key into."""

from __future__ import annotations

import subprocess
import sys

import pytest
from aiokafka.partitioner import DefaultPartitioner

from app.topics.partitioner import partition_of
from tests.harness.processes import ROOT


@pytest.mark.parametrize("partitions", [1, 2, 7, 8, 1_000])
def test_an_instrument_is_where_a_client_of_kafka_puts_its_key(partitions: int) -> None:
    choose, numbers = DefaultPartitioner(), list(range(partitions))
    for name in ("BTC-PERPETUAL", "ETH-PERPETUAL", "SOL_USDC-PERPETUAL", "", "Ω"):
        assert partition_of(name, partitions) == choose(name.encode(), numbers, numbers)


def test_the_java_client_has_the_same_numbers() -> None:
    """As its own tests say: the hashes of these keys, made positive."""
    assert partition_of("foobar", 1_000) == (-790332482 & 0x7FFFFFFF) % 1_000
    assert partition_of("a-little-bit-long-string", 1_000) == (-985981536 & 0x7FFFFFFF) % 1_000


def test_commands_start_without_a_client_of_kafka() -> None:
    code = "import sys, app.cli.verify; sys.exit('aiokafka' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
