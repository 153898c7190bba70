"""Steelyard's Faust application: `faust -A app worker`.

The application is built when it is asked for, so that commands which need no Faust start at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.worker import Steelyard

    app: Steelyard

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    root = str(Path(__file__).resolve().parent.parent)
    if root not in sys.path:  # `faust -A app` takes it off again once it has found this package
        sys.path.insert(0, root)
    from app.worker import build

    built = build()
    globals()["app"] = built
    return built
