"""Runs pip behind one line of progress, and shows all that pip said if it fails.

`python app/pip_install.py WHAT -r LOCK…`.

It is run by its path, before anything is installed, so it uses the standard library only.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque
from typing import Final

PIP: Final = (
    *(sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-color"),
    *("--progress-bar=off", "--root-user-action=ignore", "--require-hashes"),
)
SHOWN_LINES: Final = 30


def main() -> int:
    """Run pip; return its exit code."""
    what, *arguments = sys.argv[1:]
    moves = sys.stderr.isatty()
    started = time.monotonic()
    last: deque[str] = deque(maxlen=SHOWN_LINES)
    count = 0
    print(f"installing {what} …", end="\r" if moves else "\n", file=sys.stderr, flush=True)
    with subprocess.Popen(  # noqa: S603 - pip, by this interpreter
        [*PIP, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            last.append(line.rstrip())
            if moves and line.startswith(("Collecting", "Requirement already", "Installing")):
                count += line.startswith(("Collecting", "Requirement already"))
                step = f"{count} found" if not line.startswith("Inst") else f"unpacking {count}"
                print(f"\x1b[2K\rinstalling {what}: {step} …", end="", file=sys.stderr, flush=True)
    took = f"({time.monotonic() - started:.0f} s)"
    clear = "\x1b[2K\r" if moves else ""
    if pip.returncode:
        print(f"{clear}{what} could not be installed {took}:", file=sys.stderr)
        print("\n".join(f"  {line}" for line in last), file=sys.stderr)
    else:
        print(f"{clear}✓ {what} {took}", file=sys.stderr)
    return pip.returncode


if __name__ == "__main__":
    sys.exit(main())
