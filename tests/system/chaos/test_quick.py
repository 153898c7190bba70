"""The quick set: every mechanism meets its fault once, on the session's broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.embedded_kafka import EmbeddedBroker
from tests.system.chaos.runner import assert_exact, run_scenario, seed_of_today
from tests.system.chaos.scenarios import SCENARIOS, Scenario

pytestmark = [pytest.mark.chaos_quick, pytest.mark.timeout(400)]

QUICK = [scenario for scenario in SCENARIOS if scenario.quick]


@pytest.mark.parametrize("scenario", QUICK, ids=lambda scenario: scenario.name)
def test_scenario(scenario: Scenario, broker: EmbeddedBroker, tmp_path: Path) -> None:
    assert_exact(run_scenario(scenario, seed_of_today(), tmp_path, broker))
