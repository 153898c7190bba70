"""Injects faults at random, for as long as you like: `python -m tests.system.chaos.soak`.

Rounds of a few minutes on one broker, each checked at its end. The same seed gives the same faults.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from app.settings import Settings
from tests.system.chaos.runner import own_broker, run_scenario, seed_of_today
from tests.system.chaos.scenarios import Scenario
from tests.system.chaos.steps import (
    DamageStore,
    Flow,
    Kill,
    Live,
    Pause,
    Ready,
    ReplayOld,
    Start,
    Step,
    Terminate,
    Venue,
)

FAULTS_A_ROUND = 6
RATE = 300.0


def steps_of(seed: int) -> tuple[Step, ...]:
    """Return the steps of one round: two workers, and a random fault again and again."""
    draw = random.Random(seed)
    steps: list[Step] = [Start((1, 2)), Live(), Flow(2, 5)]
    for _ in range(FAULTS_A_ROUND):
        worker = draw.choice((1, 2))
        fault = draw.choice(
            ("kill", "kill-empty", "term", "damage", "pause", "skip", "cut", "old", "scale")
        )
        steps += {
            "kill": [Kill(worker), Flow(0, 12), Start((worker,))],
            "kill-empty": [Kill(worker), Flow(0, 12), Start((worker,), empty_disk=True)],
            "term": [Terminate(worker), Flow(0, 5), Start((worker,))],
            "damage": [
                Terminate(worker),
                DamageStore(worker, draw.choice(("flip", "truncate", "no-manifest", "delete"))),
                Start((worker,)),
            ],
            "pause": [Pause(worker, 25)],
            "skip": [Venue("simulator/skip", {"channel": "{book}", "count": draw.randint(1, 4)})],
            "cut": [Venue("simulator/disconnect_all")],
            "old": [ReplayOld()],
            "scale": [Start((3,)), Ready((3,)), Flow(1, 4), Terminate(3)],
        }[fault]
        steps += [Flow(0.5, 2), Live(90), Flow(1, 5)]
    return tuple(steps)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.system.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, help="of the first round; the next ones count up")
    options = parser.parse_args()
    Settings.model_config["env_file"] = None
    logging.getLogger("aiokafka").setLevel(logging.ERROR + 1)  # of topics made a moment ago
    seed = options.seed if options.seed is not None else seed_of_today()
    deadline = time.monotonic() + 60 * options.minutes
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    rounds, failed = 0, []
    with own_broker(folder / "shared") as broker:
        while rounds == 0 or time.monotonic() < deadline:
            number, rounds = seed + rounds, rounds + 1
            scenario = Scenario("soak", "random faults", steps_of(number), rate=RATE)
            place = folder / str(number)
            try:
                exact = run_scenario(scenario, number, place, broker).ok
            except AssertionError:
                traceback.print_exc()
                exact = False
            if exact:
                shutil.rmtree(place)
            else:
                failed.append(number)
    print(json.dumps({"rounds": rounds, "first_seed": seed, "failed": failed}), flush=True)
    if failed:
        print(f"the folders of the failed rounds are in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
