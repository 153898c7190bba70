"""A process that was slowed down runs again."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.duty import DutyCycle
from tests.harness.processes import Child

PATIENCE_S = 10.0


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Child]:
    child = Child("busy", [sys.executable, "-c", "while True: pass"], {}, tmp_path / "log")
    child.start()
    yield child
    child.kill()


def is_stopped(child: Child) -> bool:
    return Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_it_is_stopped_most_of_the_time_and_goes_on(busy: Child) -> None:
    deadline = time.monotonic() + PATIENCE_S
    with DutyCycle(busy.pid, 0.1, period_s=0.05):
        while not is_stopped(busy):
            assert time.monotonic() < deadline
    assert not is_stopped(busy)


def test_one_that_ends_meanwhile_is_no_trouble(busy: Child) -> None:
    with DutyCycle(busy.pid, 0.1, period_s=0.05):
        busy.kill()
    assert not busy.running
