"""The hub: who follows which channel, and the way of every notification to them.

It knows nothing about sockets: a subscriber is anything that takes text. Marks set from outside
make the next notifications of a channel vanish or come twice; the venue itself does not notice.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Protocol


class Subscriber(Protocol):
    def notify(self, message: bytes) -> None:
        """Hand over one notification; it is sent in order, and never blocks."""

    def cut(self) -> None:
        """End the connection after what was handed over, without a closing handshake."""

    def drained(self) -> Awaitable[None]:
        """Wait until the transport likes to take more."""


class Hub:
    def __init__(self) -> None:
        # Channels with at least one subscriber; in the order of subscription.
        self.live: dict[str, dict[Subscriber, None]] = {}
        self.connections: dict[Subscriber, None] = {}
        self.version = 0  # grows when a channel becomes live or is no longer
        self.subscribed = asyncio.Event()  # set by each subscription; who waits clears it
        self._skips: Counter[str] = Counter()
        self._repeats: Counter[str] = Counter()

    def publish(self, channel: str, text: str) -> None:
        """Send a notification to everybody who follows the channel."""
        self.publish_bytes(channel, text.encode())

    def publish_bytes(self, channel: str, message: bytes) -> None:
        followers = self.live.get(channel)
        if not followers:
            return
        times = 1
        if self._skips[channel] > 0:
            self._skips[channel] -= 1
            times = 0
        elif self._repeats[channel] > 0:
            self._repeats[channel] -= 1
            times = 2
        for _ in range(times):
            for subscriber in tuple(followers):
                subscriber.notify(message)

    def subscribe(self, channel: str, subscriber: Subscriber) -> None:
        if channel not in self.live:
            self.live[channel] = {}
            self.version += 1
        self.live[channel][subscriber] = None
        self.subscribed.set()

    def unsubscribe(self, channel: str, subscriber: Subscriber) -> None:
        followers = self.live.get(channel)
        if followers is None:
            return
        followers.pop(subscriber, None)
        if not followers:
            del self.live[channel]
            self.version += 1

    def connect(self, subscriber: Subscriber) -> None:
        self.connections[subscriber] = None

    def disconnect(self, subscriber: Subscriber) -> None:
        """Forget a connection and all it followed."""
        self.connections.pop(subscriber, None)
        for channel in [name for name, followers in self.live.items() if subscriber in followers]:
            self.unsubscribe(channel, subscriber)

    def cut_all(self, spared: Subscriber | None = None) -> int:
        """Cut all connections and forget them at once; returns how many."""
        doomed = [connection for connection in self.connections if connection is not spared]
        for connection in doomed:
            connection.cut()
            self.disconnect(connection)
        return len(doomed)

    def skip(self, channel: str, count: int = 1) -> None:
        """Let the next notifications of a channel vanish: its followers see a gap."""
        self._skips[channel] += count

    def repeat(self, channel: str, count: int = 1) -> None:
        """Send each of the next notifications of a channel twice."""
        self._repeats[channel] += count

    def inject(self, channel: str | None, text: str) -> int:
        """Send any text to the channel's followers, or to all connections; returns how many."""
        receivers = self.connections if channel is None else self.live.get(channel, {})
        for subscriber in tuple(receivers):
            subscriber.notify(text.encode())
        return len(receivers)

    async def drained(self) -> None:
        """Wait until no connection has more unsent text than its transport likes."""
        for subscriber in tuple(self.connections):
            await subscriber.drained()
