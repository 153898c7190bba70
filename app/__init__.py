"""Steelyard's Faust application: `faust -A app worker`.

The application is built when it is asked for, so that commands which need no Faust start at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.hot_path import WHAT_RUNS

if TYPE_CHECKING:
    from app.worker import Steelyard

    app: Steelyard

__all__ = ["WHAT_RUNS", "app"]


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    root = str(Path(__file__).resolve().parent.parent)
    if root not in sys.path:  # `faust -A app` takes it off again once it has found this package
        sys.path.insert(0, root)
    from pydantic import ValidationError

    from app.build import build
    from app.cli.environment import explain
    from app.cli.terminal.output import tolerate_encoding
    from app.errors import UserError
    from app.monitoring.early_log import say

    tolerate_encoding()
    try:
        built = build()
    except (ValidationError, UserError) as error:  # Faust would exit with 1, and a traceback
        words = explain(error) if isinstance(error, ValidationError) else str(error)
        say("error", words)
        raise SystemExit(UserError.exit_code) from None
    globals()["app"] = built
    return built
