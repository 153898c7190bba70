"""The protocol of the exact layer holds in every state within bounds, and each rule is needed.

`python -m tests.model` explores further and prints the way to what it finds.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from tests.model.bounds import CHECKED, HARMLESS, LIMITS, NEEDED
from tests.model.explorer import Result, explore
from tests.model.protocol import Protocol
from tests.model.rules import Bounds, Rules
from tests.model.story import SENTENCES, story

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "model.md"
MILLION = 1_000_000


def explored(
    bounds: Bounds, *left_out: str, is_strict: bool = True, max_states: int | None = None
) -> tuple[Result, str]:
    rules = Rules()._replace(**dict.fromkeys(left_out, False))
    model = Protocol(bounds, rules, is_strict=is_strict)
    result = explore(model, max_states=max_states)
    return result, story(result, bounds, model.keys)


@functools.cache
def checked(name: str) -> Result:
    result, told = explored(CHECKED[name])
    assert result.problem is None, told
    assert result.is_complete
    return result


@pytest.mark.parametrize("name", CHECKED)
def test_nothing_is_lost_or_applied_twice(name: str) -> None:
    checked(name)


def test_a_million_states_are_visited_and_every_action_is_taken() -> None:
    results = [checked(name) for name in CHECKED]
    assert sum(result.states for result in results) >= MILLION
    taken = set().union(*(result.actions for result in results))
    assert SENTENCES.keys() - taken == {"begins to apply", "is refused"}, "of rules left out"


@pytest.mark.parametrize("rule", NEEDED)
def test_without_a_rule_input_is_lost_or_applied_twice(rule: str) -> None:
    """The checks of what the design promises are off: what is found is what a user would see."""
    result, told = explored(NEEDED[rule], rule, is_strict=False)
    assert result.problem is not None, told
    with_all, told = explored(NEEDED[rule], max_states=10_000)
    assert with_all.problem is None, told


@pytest.mark.parametrize("rule", HARMLESS)
def test_without_these_rules_nothing_is_found(rule: str) -> None:
    result, told = explored(HARMLESS[rule], rule, is_strict=False)
    assert result.is_complete, told


def test_every_rule_is_accounted_for() -> None:
    assert set(Rules._fields) == NEEDED.keys() | HARMLESS.keys()


@pytest.mark.parametrize("limit", LIMITS)
def test_what_the_page_does_not_promise_can_happen(limit: str) -> None:
    result, _ = explored(LIMITS[limit])
    assert result.problem is not None, f"{limit} is no limit any more: take it from the page"
    assert limit in PAGE.read_text()


# The explorer


class Counter:
    """Counts to a limit, by one or by two."""

    def initial(self) -> tuple[int]:
        return (0,)

    def successors(self, state: tuple[int]) -> list[tuple[tuple[str, int], tuple[int], str | None]]:
        return [
            (("adds", by), (state[0] + by,), "seven" if state[0] + by == 7 else None)
            for by in (1, 2)
            if state[0] + by <= self.limit
        ]

    def canonical(self, state: tuple[int]) -> tuple[int]:
        return state

    def __init__(self, limit: int) -> None:
        self.limit = limit


def test_the_explorer_finds_the_shortest_way() -> None:
    result = explore(Counter(20))
    assert result.problem == "seven"
    assert len(result.trace) == 4
    assert result.trace[-1].state == (7,)
    assert not result.is_complete


def test_the_explorer_visits_every_state_once() -> None:
    result = explore(Counter(6))
    assert (result.states, result.steps, result.depth) == (7, 11, 3)
    assert result.is_complete
    assert not explore(Counter(6), max_states=3).is_complete


# The page


def named(page: str) -> list[tuple[str, str]]:
    """Return the files and functions that the page's table of actions names."""
    found = []
    for row in re.findall(r"^\|.*$", page, re.MULTILINE):
        for path, names in re.findall(r"`(faust_exact/[\w/]+\.py)`: ((?:`\w+`(?:, )?)+)", row):
            found += [(path, name) for name in re.findall(r"`(\w+)`", names)]
    return found


def test_the_functions_that_the_page_names_exist() -> None:
    found = named(PAGE.read_text())
    assert len(found) > 20
    for path, name in found:
        tree = ast.parse((ROOT / path).read_text())
        functions = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in functions, f"docs/model.md names {name} of {path}"


def test_the_page_says_which_function_each_action_stands_for() -> None:
    page = PAGE.read_text()
    for action in SENTENCES:
        assert f"`{action}`" in page, f"{action} is not on the page"
    for rule in Rules._fields:
        assert f"`{rule}`" in page, f"{rule} is not on the page"
