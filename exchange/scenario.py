"""Scenario files: faults at given times after the start, as TOML.

    [[fault]]
    at_s = 5.0
    fault = "gap"
    params = { instrument_name = "BTC-PERPETUAL" }

All of a file is checked before the venue opens; what happens is said on stderr when it does.
"""

import asyncio
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from exchange.errors import RpcError
from exchange.fault_target import Action, FaultTarget
from exchange.faults import FAULTS, make
from exchange.params import Params


class ScenarioError(Exception):
    """The file is no scenario; the text says where and why."""


class Step(NamedTuple):
    at_s: float
    name: str
    act: Action


def read_scenario(path: Path | None) -> list[Step]:
    """The steps of a file in the order of time; none without a file."""
    if path is None:
        return []
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: not TOML: {error}") from error
    entries = document.pop("fault", [])
    if document or not isinstance(entries, list):
        raise ScenarioError(f"{path}: only [[fault]] tables possible, found {sorted(document)}")
    steps = [_step(f"{path}: fault {n}", entry) for n, entry in enumerate(entries, 1)]
    return sorted(steps, key=lambda step: step.at_s)


async def play(steps: Sequence[Step], target: FaultTarget) -> None:
    """Make each fault when its time has come."""
    begin = time.monotonic()
    for step in steps:
        await asyncio.sleep(max(0.0, begin + step.at_s - time.monotonic()))
        try:
            outcome = step.act(target)
        except RpcError as error:
            outcome = f"impossible: {error} {error.data or ''}"
        print(f"exchange: {step.at_s:g} s: {step.name}: {outcome}", file=sys.stderr, flush=True)


def _step(place: str, entry: object) -> Step:
    if not isinstance(entry, dict):
        raise ScenarioError(f"{place}: write it as [[fault]]")
    at_s, name, params = entry.get("at_s"), entry.get("fault"), entry.get("params", {})
    if unknown := entry.keys() - {"at_s", "fault", "params"}:
        raise ScenarioError(f"{place}: {sorted(unknown)} unknown; at_s, fault and params possible")
    if isinstance(at_s, bool) or not isinstance(at_s, int | float) or at_s < 0:
        raise ScenarioError(f"{place}: at_s must be a number of seconds, 0 or more")
    if not isinstance(params, dict):
        raise ScenarioError(f"{place}: params must be a table")
    if not isinstance(name, str) or name not in FAULTS:
        raise ScenarioError(f"{place}: fault is {name!r}; one of {', '.join(FAULTS)} possible")
    try:
        return Step(float(at_s), name, make(name, Params(params)))
    except RpcError as error:
        raise ScenarioError(f"{place}: {name}: {error.message}: {error.data}") from error
