"""Tests the simulation itself: errors are put into a copy of the tree, and have to be found.

`python -m tests.simulation.mutants` tries all of mutant_table.py, each until a seed, or else a unit
test, finds it, and prints a table; exit 1 if one is found by something else than is written there.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.simulation.mutant_table import MUTANTS, By, Mutant

ROOT: Final = Path(__file__).resolve().parent.parent.parent
PACKAGES: Final = (
    *("agents", "app", "deribit", "exchange", "faust_exact", "models", "orderbook", "tests"),
)
UNIT_TESTS: Final = ("tests/faust_exact",)
LONGEST_S: Final = 900


@contextmanager
def copied_tree() -> Iterator[Path]:
    """Copy what a run needs into a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="steelyard-mutants-") as name:
        copy = Path(name)
        for package in PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__", "data", "*.zst", "*.gz", "*.png")
            shutil.copytree(ROOT / package, copy / package, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", copy)
        yield copy


@contextmanager
def mutated(copy: Path, mutant: Mutant) -> Iterator[None]:
    """Put an error into a copy of the tree."""
    path = copy / mutant.file
    source = path.read_text(encoding="utf-8")
    path.write_text(broken(source, mutant), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(source, encoding="utf-8")


def broken(source: str, mutant: Mutant) -> str:
    """Return a source with the error in it; raise ValueError if its place is not found."""
    if source.count(mutant.find) != 1:
        raise ValueError(
            f"{mutant.file} has {source.count(mutant.find)} times {mutant.find!r}, of the mutant "
            f"{mutant.name!r}: give its new text in tests/simulation/mutant_table.py"
        )
    return source.replace(mutant.find, mutant.put)


def run(copy: Path, *command: str) -> tuple[int, str]:
    """Run a module in the copy; return its exit code and what it printed."""
    environment = os.environ | {
        "STEELYARD_COMPILED": "0",
        "PYTHONPATH": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=copy,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    return done.returncode, done.stdout


def seed_that_finds(copy: Path, seeds: int) -> tuple[int, str] | None:
    """Return the first seed that fails, and how; None if none does."""
    code, output = run(copy, "tests.simulation", "--seeds", str(seeds), "--stop")
    found = re.search(r"^seed (\d+): (.*)$", output, re.MULTILINE)
    if code and found is None:
        raise RuntimeError(f"the simulation did not run:\n{output[-2_000:]}")
    return (int(found[1]), found[2][:150]) if found else None


def test_that_finds(copy: Path) -> str | None:
    """Return the first unit test that fails; None if none does."""
    options = ("-q", "-x", "-p", "no:cacheprovider", "-m", "not broker and not browser")
    code, output = run(copy, "pytest", *options, *UNIT_TESTS)
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    if code and found is None:
        raise RuntimeError(f"the unit tests did not run:\n{output[-2_000:]}")
    return found[1] if found else None


def find(copy: Path, mutant: Mutant, seeds: int, *, has_units: bool = True) -> tuple[By, str]:
    """Return what finds a mutant, and how."""
    with mutated(copy, mutant):
        seed = seed_that_finds(copy, seeds)
        if seed is not None:
            return By.SIMULATION, f"seed {seed[0]}: {seed[1]}"
        test = test_that_finds(copy) if has_units else None
        return (By.UNIT, test) if test is not None else (By.NOTHING, "")


def main() -> int:
    """Try the mutants; return 1 if one is not found as the table says."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--only", default="", help="part of the name of those to try")
    parser.add_argument("--from", type=int, default=0, dest="first", help="number of the first")
    parser.add_argument("--units", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    wrong = 0
    chosen = [mutant for mutant in MUTANTS[given.first :] if given.only in mutant.name]
    with copied_tree() as copy:
        for mutant in chosen:
            by, how = find(copy, mutant, given.seeds, has_units=given.units)
            differs = "" if by is mutant.by else f" (expected: {mutant.by})"
            wrong += by is not mutant.by
            print(f"| {mutant.name} | `{mutant.file}` | {by}{differs} | {how} |", flush=True)
    print(f"{len(chosen)} mutants, {wrong} not found as is written")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
