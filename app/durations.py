"""Durations, windows and times as people write them: `100ms`, `10s/1s`, `2026-01-31T12:00:00Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from orderbook.windows.span import Span

_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PATTERN: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")

_MILLISECONDS: Final = re.compile(r"[0-9]{1,16}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TIME_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""


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


def parse_time(text: str) -> int:
    """Return an instant in ms since the epoch, given so or as RFC 3339 with an offset.

    Raises ValueError if it is neither; what is finer than a millisecond is cut off.
    """
    if _MILLISECONDS.fullmatch(text) is not None and int(text) <= MAX_TIME_MS:
        return int(text)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None or instant < _EPOCH:
        raise ValueError(f"{text!r} is neither ms since the epoch nor like 2026-01-31T12:00:00Z")
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000 + since.microseconds // 1_000
