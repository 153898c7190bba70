"""Says in words what an exploration found: each step of the way to a violation, on a line."""

from __future__ import annotations

from typing import Any, Final

from tests.model.explorer import Result
from tests.model.rules import Bounds
from tests.model.state import NOTHING

WORKERS: Final = "ABCDEFGH"
SENTENCES: Final = {
    "takes over": "{who} is given the partition, in generation {0}",
    "is refused to begin": "{who} has recovered, but its generation is over: it does not begin",
    "begins": "{who} has read the changelog and begins at {0} with {states}",
    "begins to apply": "{who} is in the middle of input {0}",
    "applies": "{who} applies input {0}",
    "publishes": "{who}: what it has published arrives",
    "waits for outputs": "{who} has made its records and waits for what it has published",
    "makes a record": "{who} makes a record of {key} as of {1}, which includes what is before {2}",
    "writes nothing": "{who} has no records to write",
    "sends records": "{who} sends its records to the changelog",
    "lands": "{who}: {record} lands at {3}",
    "lands twice": "{who}: {record} lands twice, the second time at {3}",
    "lands late": "a worker is gone, but {record} lands at {3}",
    "is lost on the wire": "what a worker had sent is lost with it",
    "writes its table": "{who} has the acknowledgement and writes its table, with offset {0}",
    "doubts": "{who} has the acknowledgement, finds a hole, and writes its table, with offset {0}",
    "commits": "{who} commits {0}",
    "is fenced": "{who} may not commit {0}: it writes nothing more",
    "is refused": "{who} may not commit {0}",
    "is gone": "{who} ends, or has its partition revoked",
    "is gone, records on the wire": "{who} ends; what it has sent is on the wire",
    "is gone, after reading": "{who} ends when it has read {0} records of the changelog",
    "loses its disk": "{who} loses its disk",
    "the changelog is compacted": "an hour later the changelog is compacted",
    "the changelog is made anew": "the changelog is deleted and made anew",
    "the input is made anew": "the input is deleted and made anew",
    "the input grows": "the input grows to {0}",
}
"""By action."""


def tell(action: tuple[Any, ...], keys: str) -> str:
    """Return a sentence about an action."""
    name, number, *details = action
    words = {
        "who": "" if number is None else WORKERS[number],
        "key": _name(details[0], keys) if details and name == "makes a record" else "",
        "record": _record(details, keys) if name.startswith("lands") else "",
        "states": _states(details[1], keys) if name == "begins" else "",
    }
    return SENTENCES[name].format(*details, **words)


def _name(key: int, keys: str) -> str:
    return keys[key] if key < len(keys) else "nothing"


def _record(details: list[Any], keys: str) -> str:
    key, position, *_ = details
    name = _name(key, keys)
    return f"the deletion of {name}" if position == NOTHING else f"the record {name}@{position}"


def _states(states: tuple[Any, ...], keys: str) -> str:
    found = [f"{keys[key]}@{state[0]}" for key, state in enumerate(states) if state]
    return ", ".join(found) or "no states"


def story(result: Result, bounds: Bounds, keys: str) -> str:
    """Return what was found, with the way to it."""
    lines = [
        f"input {bounds.feed}, {bounds.workers} workers, {bounds.takeovers} take-overs: "
        f"{result.states:,} states, {result.steps:,} steps, {result.seconds:.0f} s"
    ]
    lines += [f"{n:3}. {tell(step.action, keys)}" for n, step in enumerate(result.trace, 1)]
    if result.problem:
        lines.append(f"     WRONG: {result.problem}")
    return "\n".join(lines)
