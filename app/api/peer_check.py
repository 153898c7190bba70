"""Whether the other workers of the installation are reached where they say that they are.

A book and windows are at their owner. An address at which others do not reach a worker, such as the
127.0.0.1 of another machine, takes them from everybody else, and nothing but asking shows it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from app.api.forwarding import Owners
from app.state.written import WrittenState

LOOK_EVERY_S: Final = 5.0
LIVES_MS: Final = 5_000
"""A worker writes of each of its partitions every 2 s: one that has not for so long may be dead."""
SAID_AFTER: Final = 2
"""Looks at which it was not reached: it may just be starting or stopping."""
SETTING: Final = "STEELYARD_WEB_ADVERTISED"


class Neighbours:
    """The looks at the others, every few seconds."""

    def __init__(self, written: WrittenState, owners: Owners) -> None:
        self._written = written
        self.owners = owners
        self._missed: dict[str, int] = {}
        """By secret of a process: looks at which it was not reached, without one between."""

    async def watch(self) -> None:
        """Look, again and again, and keep what is wrong for /readyz."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Ask every other worker that lives for a sign of life."""
        written, missed, troubles = self._written, self._missed, []
        own = str(written.url)
        others = written.latest.others(written.secret, LIVES_MS)
        self._missed = {secret: missed.get(secret, 0) for secret, _, _ in others}
        for secret, worker, url in others:
            if url == own:
                troubles.append(
                    f"{worker} advertises {url}, which is the address of this worker: "
                    f"give each its own by {SETTING}"
                )
                continue
            reason = await self.owners.why_not_reached(url, secret)
            self._missed[secret] = self._missed[secret] + 1 if reason else 0
            if self._missed[secret] >= SAID_AFTER:
                troubles.append(
                    f"{worker} is not reached at {url}, which it advertises ({reason}): books and "
                    f"windows that it owns are not served here; set {SETTING} there"
                )
        written.neighbour_troubles = sorted(troubles)
