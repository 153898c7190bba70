"""Faults of notifications on their way to the followers: marks, holds and silence.

The venue itself does not notice: a notification that is dropped here is a gap to who follows.
Marks are used up one by one, in the order in which they were made, by the next notifications of a
channel.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Literal

Mark = Literal["drop", "twice", "swap"]


class TransitFaults:
    """Decides, for each notification of a channel, what is sent in its place."""

    def __init__(self) -> None:
        self.is_idle = True
        self._is_muted = False
        self._marks: defaultdict[str, deque[Mark]] = defaultdict(deque)
        self._swapped: dict[str, bytes] = {}
        self._held: dict[str, list[bytes]] = {}

    def mark(self, channel: str, mark: Mark, count: int = 1) -> None:
        """Make the next `count` notifications vanish, come twice, or come after the one behind."""
        self._marks[channel].extend([mark] * count)
        self.is_idle = False

    def hold(self, channel: str) -> None:
        """Keep what comes on a channel until `release`."""
        self._held.setdefault(channel, [])
        self.is_idle = False

    def release(self, channel: str) -> Sequence[bytes]:
        """Return what was held, in order."""
        held = self._held.pop(channel, [])
        self._settle()
        return held

    def mute(self, muted: bool) -> None:
        """Let all notifications vanish, or no longer."""
        self._is_muted = muted
        self._settle()

    def calm(self) -> dict[str, Sequence[bytes]]:
        """Tamper with nothing from here on; returns what was held back, by channel."""
        kept: dict[str, Sequence[bytes]] = {**self._held}
        kept |= {channel: (message,) for channel, message in self._swapped.items()}
        for state in (self._held, self._swapped, self._marks):
            state.clear()
        self._is_muted = False
        self.is_idle = True
        return kept

    def pass_on(self, channel: str, message: bytes) -> Sequence[bytes]:
        """Return what to send now instead of the message."""
        if self._is_muted:
            return ()
        if channel in self._held:
            self._held[channel].append(message)
            return ()
        before = self._swapped.pop(channel, None)
        if before is not None:
            self._settle()
            return (message, before)
        marks = self._marks.get(channel)
        mark = marks.popleft() if marks else None
        if mark == "swap":
            self._swapped[channel] = message
            return ()
        self._settle()
        return {"drop": (), "twice": (message, message), None: (message,)}[mark]

    def _settle(self) -> None:
        waiting = self._held or self._swapped or any(self._marks.values())
        self.is_idle = not (waiting or self._is_muted)
