"""Durations as people write them: `100ms`, `1s`, `10s`, `1m`, `2h`."""

from __future__ import annotations

import re
from typing import Final

_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PATTERN: Final = re.compile(r"(\d{1,9})(ms|s|m|h|d)")


def parse_duration(text: str) -> int:
    """Return a duration in milliseconds; raise ValueError if it is not one."""
    match = _PATTERN.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{text!r} is not a duration: write 100ms, 1s, 10s, 1m or 1h")
    return int(match[1]) * _UNIT_MS[match[2]]


def format_duration(milliseconds: int) -> str:
    """Return a duration in the largest unit that divides it: 60000 is `1m`."""
    for unit in ("d", "h", "m", "s"):
        if milliseconds % _UNIT_MS[unit] == 0:
            return f"{milliseconds // _UNIT_MS[unit]}{unit}"
    return f"{milliseconds}ms"
