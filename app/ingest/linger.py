"""The linger: for how long ingest collects messages before it appends them, longer under load.

What a worker does for an append (the request, its answer, a turn of what is sent because of it) it
does once, whatever is in it. One append is under way at a time, so that what comes meanwhile is
collected anyway; a worker that falls behind needs fewer and fuller ones.
"""

from __future__ import annotations

from typing import Final

LINGER_OF_DELAY: Final = 0.5
USUAL_DELAY_MS: Final = 200
"""A worker that takes less until a frame is applied keeps up."""
MOST_LINGER_S: Final = 0.1
"""Five messages a frame at 2,000/s of 40 instruments."""


def linger_s(least_s: float, delay_ms: float) -> float:
    """Return how long to collect, given how long the last frame took until it was applied.

    What was set as the least is not undercut; if that is 0, nothing is ever waited for.
    """
    if not least_s:
        return 0.0
    for_delay_s = LINGER_OF_DELAY * (delay_ms - USUAL_DELAY_MS) / 1_000
    return max(least_s, min(MOST_LINGER_S, for_delay_s))
