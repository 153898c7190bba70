"""The version of this program, as in pyproject.toml: it is deployed as a folder, not a package."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
