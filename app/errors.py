"""An error that a person can mend: the message says what, where and what to do about it."""

from __future__ import annotations

import sys
from pathlib import Path

from faust_exact.errors import UserError

__all__ = ["UserError", "command"]


def command() -> str:
    """Return how this program is called from the present folder, for errors that name a command."""
    python = Path(sys.executable)
    here = Path.cwd()
    return f"{python.relative_to(here) if python.is_relative_to(here) else python} -m app"
