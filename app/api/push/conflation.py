"""The newest message of each key, in the order in which they came: the queue of all clients.

A client is a number: that of the last message it has been given. What is newer is what it is owed.
Of states that is the last of each key. Of windows it is every one that was not replaced more than
a second ago: when a quiet instrument is heard of again, several of its windows close at once. So a
slow client costs no memory, misses what was replaced meanwhile, and always gets the last.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

STATES: Final = "states"
"""The channel of current states; the others are window lengths, such as `1s`."""
ALL: Final = "*"
"""In the place of an instrument: every one."""
RECENT_S: Final = 1.0
"""So long a window that was replaced is still owed to those who were not given it."""
RECENT_MOST: Final = 2_000
"""No more of them: windows of a backlog close faster than anybody is to be sent them."""


class Key(NamedTuple):
    """What a message replaces: the last one of its channel and instrument."""

    channel: str
    instrument: str


EVERY_STATE: Final = Key(STATES, ALL)

Interest = frozenset[Key]
"""What a client wants."""


def interest(channels: Iterable[str], instruments: Iterable[str] | None) -> Interest:
    """Return every channel for every instrument, or for all (None)."""
    names = (ALL,) if instruments is None else tuple(instruments)
    return frozenset(Key(channel, name) for channel in channels for name in names)


def wants(interest: Interest, key: Key) -> bool:
    """Whether a client with this interest is to be given the message of a key."""
    return key in interest or Key(key.channel, ALL) in interest


class Message(NamedTuple):
    """The newest of a key: its JSON, or None if there is no such instrument any more."""

    number: int
    key: Key
    payload: bytes | None


class Replaced(NamedTuple):
    """A window that was replaced a short time ago."""

    by: int
    """Number of the message in its place: a client that has that has had this one."""
    at_s: float
    message: Message


class Latest:
    """All that a client that comes now would be given, oldest first."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.number = 0
        """Of the newest message."""
        self._messages: OrderedDict[Key, Message] = OrderedDict()
        self._replaced: deque[Replaced] = deque(maxlen=RECENT_MOST)
        self._now = now

    def put(self, key: Key, payload: bytes | None) -> None:
        """Replace the message of a key."""
        self.number += 1
        before = self._messages.get(key)
        if before is not None and key.channel != STATES:
            now_s, replaced = self._now(), self._replaced
            while replaced and replaced[0].at_s < now_s - RECENT_S:
                replaced.popleft()
            replaced.append(Replaced(self.number, now_s, before))
        self._messages[key] = Message(self.number, key, payload)
        self._messages.move_to_end(key)

    def newer(self, number: int) -> list[Message]:
        """Return the messages after a number, oldest first; of 0 only the last of each key."""
        found: list[Message] = []
        for message in reversed(self._messages.values()):
            if message.number <= number:
                break
            found.append(message)
        last = len(found)
        if number:
            for each in reversed(self._replaced):
                if each.by <= number:
                    break
                if each.message.number > number:
                    found.append(each.message)
        if len(found) > last:
            found.sort()  # by number, of which there are no two
        else:
            found.reverse()
        return found

    def forget(self, channel: str) -> None:
        """Drop the messages of a channel, which nobody follows any more."""
        for key in [key for key in self._messages if key.channel == channel]:
            del self._messages[key]
        kept = [each for each in self._replaced if each.message.key.channel != channel]
        self._replaced = deque(kept, maxlen=RECENT_MOST)

    def __len__(self) -> int:
        return len(self._messages)
