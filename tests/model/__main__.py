"""Explores the model further: `python -m tests.model [NAME …] [--without RULE] [--states N]`.

Prints the states and seconds of each exploration, and the way to whatever it finds. A feed and
bounds of one's own: `--feed xxy --workers 2 --takeovers 3 --checkpoints 1 --lost-disks 1`.
"""

from __future__ import annotations

import argparse
import sys

from tests.model.bounds import CHECKED, FURTHER
from tests.model.explorer import explore
from tests.model.protocol import Protocol
from tests.model.rules import Bounds, Rules
from tests.model.story import story

NUMBERS = [name for name, default in Bounds._field_defaults.items() if type(default) is int]


def main() -> int:
    """Explore what was asked for; return 1 if something was found."""
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(FURTHER)}; all of them if none")
    parser.add_argument("--without", nargs="*", default=[], choices=Rules._fields, metavar="RULE")
    parser.add_argument("--states", type=int, default=20_000_000, help="stop after so many")
    parser.add_argument("--quick", action="store_true", help="what `make test` explores")
    parser.add_argument("--feed", help="keys of the inputs; * is for all keys")
    for name in NUMBERS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int)
    options = parser.parse_args()
    known = CHECKED if options.quick else FURTHER
    if unknown := set(options.names) - known.keys():
        parser.error(f"{', '.join(sorted(unknown))}: there is {', '.join(known)}")
    wanted = {name: known[name] for name in options.names or known}
    if options.feed:
        numbers = {name: getattr(options, name) for name in NUMBERS}
        given = {name: number for name, number in numbers.items() if number is not None}
        wanted = {"as asked": Bounds(options.feed, **given)}
    rules = Rules()._replace(**dict.fromkeys(options.without, False))
    found = 0
    for name, bounds in wanted.items():
        model = Protocol(bounds, rules, is_strict=not options.without)
        result = explore(model, max_states=options.states)
        how = "holds" if result.is_complete else "is WRONG" if result.problem else "was cut short"
        print(f"{name} {how}: {story(result, bounds, model.keys)}", flush=True)
        found += result.problem is not None
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main())
