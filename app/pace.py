"""How long ingest collects messages before it appends them: the more come, the longer.

What a worker does for an append (the request, its answer, what is applied and sent because of it)
costs as much as a dozen messages, whatever is in it. In a calm feed nobody should wait for that; in
a full one, fewer and fuller appends leave time for everything else, and so are sooner done.
"""

from __future__ import annotations

from typing import Final

LINGER_S_OF_RATE: Final = 6e-6
"""Seconds for each message a second: 4 ms at 650/s, 11 at 1,800/s, 21 at 3,550/s. With the last, at
2,000 book notifications/s, a worker took 60 to 65 % of a core, and with 4 ms 68 to 72 %; the median
window came after 57 to 72 ms, and after 55 to 80."""
MOST_LINGER_S: Final = 0.03
RATE_OVER_S: Final = 1.0
"""The rate is that of about the last second."""

LINGER_OF_DELAY: Final = 0.5
USUAL_DELAY_MS: Final = 200
"""A worker that takes less until a frame is applied keeps up."""
MOST_LINGER_BEHIND_S: Final = 0.1
"""For a worker that falls behind: five messages a frame at 2,000/s of 40 instruments."""


class Pace:
    """The pace of appending, from what was received and how long it took until it was applied."""

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._rate = 0.0
        self._messages = 0
        self._at_s: float | None = None

    def linger_s(self, messages: int, now_s: float, delay_ms: float) -> float:
        """Return how long to collect, given all messages until now, and the delay of the last one.

        What was set as the least is not undercut; if that is 0, nothing is ever waited for.
        """
        if self._at_s is None:
            self._messages, self._at_s = messages, now_s
        took_s = now_s - self._at_s
        if took_s > 0:
            seen = (messages - self._messages) / took_s
            self._rate += (seen - self._rate) * min(1.0, took_s / RATE_OVER_S)
            self._messages, self._at_s = messages, now_s
        if not self._least_s:
            return 0.0
        for_rate = min(MOST_LINGER_S, LINGER_S_OF_RATE * self._rate)
        for_delay = LINGER_OF_DELAY * (delay_ms - USUAL_DELAY_MS) / 1_000
        return max(self._least_s, for_rate, min(MOST_LINGER_BEHIND_S, for_delay))
