"""Visits every state that a model can reach, breadth first: the first violation has a shortest way.

A model is a function from a state to its successors. States are tuples of numbers and tuples; of
each only a fingerprint of 64 bits is kept, with that of the state it was first reached from, so a
million states take some 100 MB. Two states of the same fingerprint would be taken for one: with ten
million states that happens with a probability of 3 in a million.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

State = tuple[Any, ...]


class Step(NamedTuple):
    """A step of the model: what happens, where it leads, and what is wrong with it, if anything."""

    action: tuple[Any, ...]
    state: State
    problem: str | None


class Model(Protocol):
    """What can be explored."""

    def initial(self) -> State:
        """Return the state that everything begins with."""

    def successors(self, state: State) -> Sequence[tuple[tuple[Any, ...], State, str | None]]:
        """Return what can happen next, each as a Step (or a plain tuple of the same)."""

    def canonical(self, state: State) -> State:
        """Return the same state for all those that differ in the names of equal parts only."""


@dataclass
class Result:
    """What an exploration found."""

    states: int
    steps: int
    """Transitions, those to states seen before included."""
    depth: int
    """Steps of the longest of all shortest ways."""
    seconds: float
    is_complete: bool
    """Whether every reachable state was visited: no violation, and no bound was met."""
    actions: set[str] = field(default_factory=set)
    """Which actions were taken: of one that never is the exploration says nothing."""
    problem: str | None = None
    trace: list[Step] = field(default_factory=list)
    """The shortest way to the violation."""


def explore(
    model: Model,
    *,
    max_states: int | None = None,
    on_depth: Callable[[int, int], object] | None = None,
) -> Result:
    """Visit all states, up to the first violation or a number of states."""
    was_enabled = gc.isenabled()
    gc.disable()  # there are no cycles, and it would look at all the tuples again and again
    try:
        return _explore(model, max_states, on_depth)
    finally:
        if was_enabled:
            gc.enable()


def _explore(
    model: Model, max_states: int | None, on_depth: Callable[[int, int], object] | None
) -> Result:
    began = time.perf_counter()
    canonical, successors = model.canonical, model.successors
    first = canonical(model.initial())
    root = hash(first)
    reached_from: dict[int, int] = {root: root}
    frontier = [first]
    actions: set[str] = set()
    steps = depth = 0

    def result(problem: str | None = None, trace: list[Step] | None = None) -> Result:
        is_complete = problem is None and not frontier
        seconds = time.perf_counter() - began
        return Result(
            len(reached_from), steps, depth, seconds, is_complete, actions, problem, trace or []
        )

    while frontier:
        reached: list[State] = []
        for state in frontier:
            mine = hash(state)
            moves = successors(state)
            steps += len(moves)
            for action, successor, problem in moves:
                actions.add(action[0])
                successor = canonical(successor)
                fingerprint = hash(successor)
                if problem is not None:
                    way = [*_way_to(mine, reached_from), fingerprint]
                    return result(problem, _replay(model, way, problem))
                if fingerprint not in reached_from:
                    reached_from[fingerprint] = mine
                    reached.append(successor)
        frontier = reached
        depth += bool(reached)
        if on_depth is not None:
            on_depth(depth, len(reached_from))
        if max_states is not None and len(reached_from) >= max_states:
            break
    return result()


def _way_to(fingerprint: int, reached_from: dict[int, int]) -> list[int]:
    way = [fingerprint]
    while reached_from[way[-1]] != way[-1]:
        way.append(reached_from[way[-1]])
    return way[::-1]


def _replay(model: Model, way: list[int], problem: str) -> list[Step]:
    """Go the way again, without exchanging names on it: who is A stays A."""
    state = model.initial()
    trace: list[Step] = []
    for number, fingerprint in enumerate(way[1:], 2):
        is_last = number == len(way)
        for step in map(Step._make, model.successors(state)):
            if hash(model.canonical(step.state)) == fingerprint and is_last == (
                step.problem is not None
            ):
                trace.append(step)
                state = step.state
                break
        else:
            raise AssertionError(
                f"step {number} of the way to {problem!r} is not to be found again"
            )
    return trace
