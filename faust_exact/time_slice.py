"""Long work on the loop in turns: whoever does it asks now and then whether its turn is over.

What comes of a venue, of Kafka and of clients waits no longer than a turn then.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

TURN_S: Final = 0.005
"""With 2 ms more and smaller requests go to Kafka, for 3 % more of a worker at 2,000
notifications/s; with 10 ms no fewer (docs/decisions/0013-turns.md)."""


class Turn:
    """One piece of work, from now on."""

    __slots__ = ("_began",)

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether the others have waited long enough."""
        return time.monotonic() - self._began >= TURN_S

    async def pause(self) -> None:
        """Let the others have a turn; the next one begins."""
        await asyncio.sleep(0)
        self._began = time.monotonic()
