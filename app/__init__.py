"""Steelyard's Faust application: `faust -A app worker`.

The application is built when it is asked for, so that commands which need no Faust start at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from app.hot_path.finder import activate

if TYPE_CHECKING:
    from app.worker import Steelyard

    app: Steelyard

__all__ = ["WHAT_RUNS", "app"]

WHAT_RUNS: Final = activate()
"""`compiled`, or `pure Python` and why. It is settled here, before anything of it is imported."""


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    root = str(Path(__file__).resolve().parent.parent)
    if root not in sys.path:  # `faust -A app` takes it off again once it has found this package
        sys.path.insert(0, root)
    from pydantic import ValidationError

    from app.cli.environment import explain
    from app.cli.terminal.output import tolerate_encoding
    from app.errors import UserError
    from app.monitoring.early_log import say
    from app.worker import build

    tolerate_encoding()
    try:
        built = build()
    except (ValidationError, UserError) as error:  # Faust would exit with 1, and a traceback
        words = explain(error) if isinstance(error, ValidationError) else str(error)
        say("error", words)
        raise SystemExit(UserError.exit_code) from None
    globals()["app"] = built
    return built
