"""The simulation finds errors that are put into a copy of the tree; all of them: mutants.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.mutant_table import MUTANTS, By, Mutant
from tests.simulation.mutants import ROOT, broken, copied_tree, mutated, seed_that_finds

QUICK = (
    "what is not written is committed, too",
    "a record that a state includes is told to it again",
)
SEEDS = 40


@pytest.fixture(scope="module")
def copy() -> Iterator[Path]:
    with copied_tree() as folder:
        yield folder


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_error_has_its_place_and_compiles(mutant: Mutant) -> None:
    compile(broken((ROOT / mutant.file).read_text(encoding="utf-8"), mutant), mutant.file, "exec")


@pytest.mark.parametrize("name", QUICK)
def test_a_seed_finds(copy: Path, name: str) -> None:
    mutant = next(each for each in MUTANTS if each.name == name)
    assert mutant.by is By.SIMULATION
    with mutated(copy, mutant):
        assert seed_that_finds(copy, SEEDS) is not None


def test_what_is_not_there_is_said(copy: Path) -> None:
    mutant = MUTANTS[0]._replace(find="no such text")
    with pytest.raises(ValueError, match="give its new text"), mutated(copy, mutant):
        pass
