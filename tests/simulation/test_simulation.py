"""Several workers meet faults on a simulated Kafka; `python -m tests.simulation` runs more seeds.

A seed that fails prints its trace.
"""

from __future__ import annotations

import logging

import pytest

from faust_exact.partition import Partition
from faust_exact.store import StateStore
from tests.simulation.faults import no_faults, random_faults
from tests.simulation.world import Plan, World, simulate

SEEDS = range(24)
MUTANT_SEEDS = range(60)
PLAN = Plan(workers=2, steps=30)


@pytest.fixture(autouse=True)
def quiet_logs() -> object:
    """Say nothing of the warnings that faults lead to."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def check(world: World) -> None:
    """Fail with the trace of a run that went wrong."""
    if world.failure is not None:
        pytest.fail(f"seed {world.seed}: {world.failure!r}\n" + "\n".join(world.trace))


def test_without_faults_everything_is_there() -> None:
    world = simulate(1, PLAN, no_faults)
    check(world)
    assert world.checked > 20


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_in_any_order_have_no_effect(seed: int) -> None:
    check(simulate(seed, PLAN, random_faults))


def test_three_workers_share_three_partitions() -> None:
    check(simulate(1_001, Plan(workers=3, partitions=3, steps=40), random_faults))


def test_the_same_seed_is_the_same_run() -> None:
    first, second = (simulate(7, PLAN, random_faults).trace for _ in range(2))
    assert first == second


def test_a_commit_that_runs_ahead_of_the_changelog_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Partition, "safe_position", property(lambda self: self.position))
    assert any(simulate(seed, PLAN, random_faults).failure for seed in MUTANT_SEEDS)


def test_an_older_record_that_wins_over_a_newer_one_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(StateStore, "_is_overtaken", lambda self, record, known: False)
    assert any(simulate(seed, PLAN, random_faults).failure for seed in MUTANT_SEEDS)
