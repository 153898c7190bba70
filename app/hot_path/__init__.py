"""The modules that run compiled where a C compiler is at hand."""

from __future__ import annotations

from typing import Final

from app.hot_path.finder import activate

WHAT_RUNS: Final = activate()
"""`compiled`, or `pure Python` and why. It is settled here, before anything of it is imported."""
