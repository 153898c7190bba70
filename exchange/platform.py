"""The channel `platform_state`: whether the whole venue is under maintenance."""

from exchange.channels import Channel, notification
from exchange.hub import Hub
from exchange.numbers import encode

PLATFORM_STATE = "platform_state"
PUBLIC_METHODS_STATE = '{"allow_unauthenticated_public_requests":true}'


class Platform:
    """The venue as a whole; locked, nothing is traded on it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.is_locked = False

    def lock(self, locked: bool) -> None:
        """Begin or end maintenance, and tell everybody."""
        self.is_locked = locked
        self._publish({"maintenance": locked})

    def tell(self, price_index: str) -> None:
        """Say of a price index whether it is locked."""
        if PLATFORM_STATE in self._hub.live:
            self._publish({"price_index": price_index, "locked": self.is_locked})

    def opening(self, channel: Channel) -> str:
        """The message that a new subscriber gets at once."""
        if channel.topic == "platform methods":
            return notification(channel.name, PUBLIC_METHODS_STATE)
        locked = "true" if self.is_locked else "false"
        return notification(channel.name, encode({"locked": locked}))

    def _publish(self, fields: dict[str, object]) -> None:
        self._hub.publish(PLATFORM_STATE, notification(PLATFORM_STATE, encode(fields)))
