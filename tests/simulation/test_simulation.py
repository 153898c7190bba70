"""Several workers meet faults on a simulated Kafka; `python -m tests.simulation` runs more seeds.

A seed that fails prints its trace.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.simulation.__main__ import story
from tests.simulation.faults import no_faults, random_faults
from tests.simulation.plan import Plan, random_plan
from tests.simulation.world import World, simulate

FOUND = (
    13,  # the changelog is made anew, and the worker that computes again dies after one record
)
"""Seeds that have found something. What they do changes with the simulation, so what each of them
found is a mutant, too (mutants.py), or has a test of its own."""
SEEDS = (*range(20), *(seed for seed in FOUND if seed >= 20))


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    """Say nothing of the warnings that faults lead to."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def check(world: World) -> None:
    """Fail with the trace of a run that went wrong."""
    if world.failure is not None:
        pytest.fail(f"{world.failure!r}\n{story(world)}")


def test_without_faults_everything_is_there() -> None:
    world = simulate(1, Plan(), no_faults)
    check(world)
    assert world.checks.count > 20


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_in_any_order_have_no_effect(seed: int) -> None:
    check(simulate(seed, random_plan(seed), random_faults))


def test_the_same_seed_is_the_same_run() -> None:
    first, second = (simulate(7, random_plan(7), random_faults).trace for _ in range(2))
    assert first == second
