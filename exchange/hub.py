"""The hub: who follows which channel, and the way of every notification to them.

It knows nothing about sockets: a subscriber is anything that takes text. What is tampered with on
the way, transit_faults.py decides; the venue itself does not notice.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Protocol

from exchange.transit_faults import TransitFaults

CLOSE_TOO_SLOW = 4001
TOO_SLOW = "connection_too_slow"


class Subscriber(Protocol):
    def notify(self, message: bytes, text: bool = True) -> None:
        """Hand over one notification; it is sent in order, and never blocks."""

    def cut(self) -> None:
        """End the connection after what was handed over, without a closing handshake."""

    def abort(self) -> None:
        """End the connection at once; what the peer has not read is lost."""

    def close(self, code: int, reason: str) -> None:
        """End the connection with a closing handshake."""

    def freeze(self) -> None:
        """Say nothing and hear nothing from here on, the connection open."""

    def drained(self) -> Awaitable[None]:
        """Wait until the transport likes to take more."""


class Hub:
    def __init__(self) -> None:
        # Channels with at least one subscriber; in the order of subscription.
        self.live: dict[str, dict[Subscriber, None]] = {}
        self.connections: dict[Subscriber, None] = {}
        self.version = 0  # grows when a channel becomes live or is no longer
        self.subscribed = asyncio.Event()  # set by each subscription; who waits clears it
        self.transit = TransitFaults()

    def publish(self, channel: str, text: str) -> None:
        """Send a notification to everybody who follows the channel."""
        self.publish_bytes(channel, text.encode())

    def publish_bytes(self, channel: str, message: bytes) -> None:
        followers = self.live.get(channel)
        if not followers:
            return
        if self.transit.is_idle:
            self._send(followers, message)
            return
        for told in self.transit.pass_on(channel, message):
            self._send(followers, told)

    def release(self, channel: str) -> None:
        """Send what was held back of a channel."""
        for message in self.transit.release(channel):
            self._send(self.live.get(channel, {}), message)

    def calm(self) -> None:
        """End all tampering; what was held back is sent."""
        for channel, messages in self.transit.calm().items():
            for message in messages:
                self._send(self.live.get(channel, {}), message)

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

    def inject(self, channel: str | None, message: str | bytes, text: bool = True) -> int:
        """Send anything to the channel's followers, or to all connections; returns how many."""
        receivers = self.connections if channel is None else self.live.get(channel, {})
        self._send(receivers, message.encode() if isinstance(message, str) else message, text)
        return len(receivers)

    async def drained(self) -> None:
        """Wait until no connection has more unsent text than its transport likes."""
        for subscriber in tuple(self.connections):
            await subscriber.drained()

    @staticmethod
    def _send(receivers: Iterable[Subscriber], message: bytes, text: bool = True) -> None:
        for subscriber in tuple(receivers):
            subscriber.notify(message, text)
