"""Runs seeds (`python -m tests.simulation --seeds 1000`); prints the trace of the first failure."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from tests.simulation.faults import random_faults
from tests.simulation.plan import random_plan
from tests.simulation.world import World, simulate


def main() -> int:
    """Run the seeds; return 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--minutes", type=float, help="end after so long, whatever is left")
    parser.add_argument("--trace", action="store_true", help="print the trace of every seed")
    parser.add_argument("--stop", action="store_true", help="end with the first that fails")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    failed, run, simulated_s, checked, began = 0, 0, 0.0, 0, time.monotonic()
    for seed in range(given.first, given.first + given.seeds):
        world = simulate(seed, random_plan(seed), random_faults)
        run += 1
        checked += world.checks.count
        simulated_s += float(world.trace[-1].split()[0]) if world.trace else 0.0
        if world.failure is not None:
            failed += 1
            print(f"seed {seed}: {world.failure!r}", flush=True)
        if (world.failure is not None and failed == 1) or given.trace:
            print(story(world), flush=True)
        if given.stop and failed:
            break
        if given.minutes and time.monotonic() - began > given.minutes * 60:
            break
    took_s = time.monotonic() - began
    print(
        f"{run} seeds from {given.first}, {failed} failed; {checked} state records checked; "
        f"{simulated_s / 3600:.1f} simulated hours in {took_s:.0f} s "
        f"({simulated_s / took_s:.0f} an hour), {run / took_s * 60:.0f} seeds a minute"
    )
    return int(failed > 0)


def story(world: World) -> str:
    """Return what a person reads to understand a run."""
    return "\n".join((f"seed {world.seed}: {world.plan}", *world.trace))


if __name__ == "__main__":
    sys.exit(main())
