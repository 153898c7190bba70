"""Runs seeds (`python -m tests.simulation --seeds 1000`); prints the trace of the first failure."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from tests.simulation.faults import random_faults
from tests.simulation.world import Plan, simulate


def main() -> int:
    """Run the seeds; return 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--trace", action="store_true")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    failed, simulated_s, checked, began = 0, 0.0, 0, time.monotonic()
    plan = Plan(workers=given.workers, steps=given.steps)
    for seed in range(given.first, given.first + given.seeds):
        world = simulate(seed, plan, random_faults)
        checked += world.checked
        if world.trace:
            simulated_s += float(world.trace[-1].split()[0])
        if world.failure is not None:
            failed += 1
            print(f"seed {seed}: {world.failure!r}", flush=True)
        if (world.failure is not None and failed == 1) or given.trace:
            print("\n".join(world.trace))
    took_s = time.monotonic() - began
    print(
        f"{given.seeds} seeds, {failed} failed; {checked} state records checked; "
        f"{simulated_s / 3600:.1f} simulated hours in {took_s:.0f} s, "
        f"{given.seeds / took_s * 60:.0f} seeds a minute"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
