"""The newest message of each key, in the order in which they came: the queue of all clients.

A client is a number: that of the last message it has been given. What is newer is what it is owed,
and there is never more of it than there are keys. So a slow client costs no memory, misses what was
replaced meanwhile, and always gets the last.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

STATES: Final = "states"
"""The channel of current states; the others are window lengths, such as `1s`."""
ALL: Final = "*"
"""In the place of an instrument: every one."""


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


class Latest:
    """All that a client that comes now would be given, oldest first."""

    def __init__(self) -> None:
        self.number = 0
        """Of the newest message."""
        self._messages: OrderedDict[Key, Message] = OrderedDict()

    def put(self, key: Key, payload: bytes | None) -> None:
        """Replace the message of a key."""
        self.number += 1
        self._messages[key] = Message(self.number, key, payload)
        self._messages.move_to_end(key)

    def newer(self, number: int) -> list[Message]:
        """Return the messages after a number, oldest first."""
        found: list[Message] = []
        for message in reversed(self._messages.values()):
            if message.number <= number:
                break
            found.append(message)
        found.reverse()
        return found

    def forget(self, channel: str) -> None:
        """Drop the messages of a channel, which nobody follows any more."""
        for key in [key for key in self._messages if key.channel == channel]:
            del self._messages[key]

    def __len__(self) -> int:
        return len(self._messages)
