"""Durations as people write them, `100ms`, `10s`, `2h`; and windows: `10s`, `10s/1s`."""

from __future__ import annotations

import re
from typing import Final

from orderbook.windows.span import Span

_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PATTERN: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")


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


def parse_span(text: str) -> Span:
    """Return which windows `10s` or, one beginning each second, `10s/1s` are; raise ValueError."""
    length, slash, hop = text.partition("/")
    length_ms = parse_duration(length)
    span = Span(length_ms, parse_duration(hop) if slash else length_ms)
    span.check()
    return span


def format_span(span: Span) -> str:
    """Return windows as they are written: `10s`, or `10s/1s` if they overlap."""
    length = format_duration(span.length_ms)
    return f"{length}/{format_duration(span.hop_ms)}" if span.is_hopping else length
