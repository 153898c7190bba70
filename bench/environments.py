"""Environments of their own for what the product does not need: the peers, and the plot."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from app.embedded_kafka.processes import die_with_parent
from bench.pipeline import WORK

FOLDER: Final = WORK / "environments"


def environment(requirements: Path) -> Path:
    """Return the Python of an environment with what a file requires; make it if need be.

    An environment is named by its requirements, so that other versions are another environment.
    What requires nothing runs in the project's own.
    """
    wanted = required(requirements)
    if not wanted:
        return Path(sys.executable)
    digest = hashlib.sha256("\n".join([*wanted, sys.version]).encode()).hexdigest()[:12]
    place = FOLDER / f"{requirements.parent.name}-{digest}"
    python = place / "bin" / "python"
    done = place / "installed"
    if not done.exists():
        print(f"bench: installing {', '.join(wanted)} into {place}", file=sys.stderr)
        run(sys.executable, "-m", "venv", "--clear", str(place))
        options = ("--quiet", "--disable-pip-version-check", "-r", str(requirements))
        run(str(python), "-m", "pip", "install", *options)
        done.touch()
    return python


def run(*command: str, folder: Path | None = None) -> None:
    """Run a command to its end, or to the end of the bench; raise if it fails."""
    subprocess.run(command, check=True, cwd=folder, preexec_fn=die_with_parent())


def required(requirements: Path) -> list[str]:
    """Return the lines of a file of requirements, without comments."""
    lines = (line.partition("#")[0].strip() for line in requirements.read_text().splitlines())
    return [line for line in lines if line]
