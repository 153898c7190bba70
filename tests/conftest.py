"""Fixtures of all tests: no setting leaks in from the machine; one real broker for the session."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import WHAT_RUNS
from app.embedded_kafka import EmbeddedBroker
from app.settings import Settings, settings

TEST_HEAP_MB = 384

# Clients of tests reach what runs here; programs under test are given a proxy where that is tested.
for _name in ("no_proxy", "NO_PROXY"):
    _outside = os.environ.get(_name, "")
    os.environ[_name] = ",".join(filter(None, [_outside, "127.0.0.1", "localhost", "::1"]))

# A broker that lives for a minute starts a second sooner without the optimising compiler.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")


def pytest_report_header() -> str:
    """Say which of the two builds is tested."""
    return f"hot path: {WHAT_RUNS}"


def pytest_sessionstart() -> None:
    """Stop if the tests were meant for the other build: EXPECT_HOT_PATH is `compiled` or `pure`."""
    expected = os.environ.get("EXPECT_HOT_PATH", "")
    if not WHAT_RUNS.startswith(expected):
        pytest.exit(f"meant to test the {expected} hot path, but it runs {WHAT_RUNS}", 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the broker: `-m "not broker"` is the quick part of the suite."""
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.broker)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the machine's STEELYARD_ variables and `.env` from the test."""
    for name in [name for name in os.environ if name.upper().startswith("STEELYARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A real Kafka broker that all tests of the session share: use `installation`'s names."""
    embedded = EmbeddedBroker(tmp_path_factory.mktemp("kafka"), heap_mb=TEST_HEAP_MB)
    asyncio.run(embedded.start())
    yield embedded
    asyncio.run(embedded.stop())


@pytest.fixture
def installation(broker: EmbeddedBroker, tmp_path: Path) -> Settings:
    """Settings of an installation that this test has for itself, on the shared broker."""
    unique = uuid.uuid4().hex[:8]
    return Settings(
        installation=f"test-{unique}",
        kafka=broker.bootstrap,
        data_dir=tmp_path,
        partitions=2,
    )
