"""Runs scenarios, each several times, and says how it went: `python -m tests.system.chaos`."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from app.settings import Settings
from tests.system.chaos.runner import own_broker, run_scenario, seed_of_today
from tests.system.chaos.scenarios import BY_NAME, Scenario

REPEATS = {"B1": 10, "B2-same-disk": 5, "B2-empty-disk": 5, "B6": 20}
"""How often `make chaos` runs a scenario; the others once."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.system.chaos", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BY_NAME)}")
    parser.add_argument("--times", type=int, help="runs of each (else as `make chaos` does)")
    parser.add_argument("--seed", type=int, help="of the first run; the next ones count up")
    parser.add_argument("--keep", action="store_true", help="keep exact runs' folders")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BY_NAME]
    if unknown:
        parser.error(f"no scenario {', '.join(unknown)}; they are {', '.join(BY_NAME)}")
    Settings.model_config["env_file"] = None
    logging.getLogger("aiokafka").setLevel(logging.ERROR + 1)  # of topics made a moment ago
    seed = options.seed if options.seed is not None else seed_of_today()
    failed = []
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    with own_broker(folder / "shared") as broker:
        for name in options.names or BY_NAME:
            for number in range(options.times or REPEATS.get(name, 1)):
                place = folder / f"{name}-{number}"
                if not _succeeds(BY_NAME[name], seed + number, place, broker):
                    failed.append(f"{name}, seed {seed + number}")
                elif not options.keep:
                    shutil.rmtree(place)
    if not failed and not options.keep:
        shutil.rmtree(folder)
    print("failed: " + "; ".join(failed) if failed else "all exact", flush=True)
    return int(bool(failed))


def _succeeds(scenario: Scenario, seed: int, folder: Path, broker: object) -> bool:
    try:
        return run_scenario(scenario, seed, folder, broker).ok  # type: ignore[arg-type]
    except AssertionError:
        traceback.print_exc()
        return False


if __name__ == "__main__":
    sys.exit(main())
