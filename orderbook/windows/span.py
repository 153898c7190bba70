"""A span says which windows there are: so long, and one beginning at every multiple of the hop.

Windows that begin where the last one ended are *tumbling*: their hop is their length. Others are
*hopping*: `10s/1s` are windows of ten seconds, one every second, each overlapping nine others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, Self

MAX_LENGTH_MS: Final = 86_400_000
MAX_OVERLAP: Final = 120
"""Windows of one span that are open at once: the state holds a pane for each."""


class Span(NamedTuple):
    """The windows `[k·hop, k·hop + length)` for all whole k."""

    length_ms: int
    hop_ms: int

    @classmethod
    def tumbling(cls, length_ms: int) -> Self:
        """Return the span of windows that do not overlap."""
        return cls(length_ms, length_ms)

    @property
    def is_hopping(self) -> bool:
        """Return whether its windows overlap."""
        return self.hop_ms != self.length_ms

    @property
    def overlap(self) -> int:
        """Return how many windows contain one instant."""
        return self.length_ms // self.hop_ms

    def first_after(self, time_ms: int) -> int:
        """Return the start of the first window that ends after a time."""
        return (time_ms - self.length_ms) // self.hop_ms * self.hop_ms + self.hop_ms

    def check(self) -> None:
        """Raise ValueError if there can be no such windows."""
        length, hop = self
        if not 0 < length <= MAX_LENGTH_MS:
            raise ValueError(f"window lengths must be 1 to {MAX_LENGTH_MS} ms, not {length}")
        if not 0 < hop <= length or length % hop:
            raise ValueError(f"a hop of {hop} ms must be a whole part of the length, {length} ms")
        if length > hop * MAX_OVERLAP:
            raise ValueError(
                f"windows of {length} ms every {hop} ms must overlap at most {MAX_OVERLAP} times"
            )


def tumbling(*lengths_ms: int) -> tuple[Span, ...]:
    """Return the spans of windows of these lengths that do not overlap."""
    return tuple(Span.tumbling(length) for length in lengths_ms)


def ordered(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return checked spans, each once, the shortest first; raise ValueError if one is none."""
    found = tuple(sorted(set(spans)))
    if not found:
        raise ValueError("window lengths must be given: there is none")
    for span in found:
        span.check()
    return found
