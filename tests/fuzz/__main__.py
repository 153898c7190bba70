"""`python -m tests.fuzz --cases 1000000`: throw damaged messages at client and processor."""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz.check import run
from tests.fuzz.generate import message

SHOWN_EVERY = 50_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the messages (%(default)s)")
    options = parser.parse_args()
    began = time.monotonic()
    left, part, total = options.cases, 0, {}
    while left > 0:
        cases = min(left, SHOWN_EVERY)
        seed = options.seed * 1_000_003 + part
        for what, count in run(cases, seed, message).seen.items():
            total[what] = total.get(what, 0) + count
        left, part = left - cases, part + 1
        print(f"{options.cases - left} cases, {time.monotonic() - began:.0f} s", file=sys.stderr)
    for what, count in sorted(total.items()):
        print(f"{count:>9} {what}")
    print(f"{options.cases} cases in {time.monotonic() - began:.0f} s: 0 crashes, 0 traces")
    return 0


if __name__ == "__main__":
    sys.exit(main())
