"""Channel names: what a client may write in `subscribe`, taken apart, and how a notification looks.

What a venue does not offer, it drops from the ack without a word, as the real one does. A recording
may hold channels of other shapes; they can be followed too, but nothing is known about them.
"""

from dataclasses import dataclass
from typing import Literal

INTERVALS = ("raw", "100ms", "agg2")
GROUPED_INTERVALS = ("100ms", "agg2")  # grouped raw is documented, but refused on the wire
GROUPED_DEPTHS = ("1", "10", "20")
GROUPS = ("none", "1", "2", "5", "10", "25", "100", "250")
GROUPS_BTC = ("none", "1", "2", "5", "10")
GROUPS_ETH = ("none", "5", "10", "25", "100", "250")
KINDS = ("any", "future", "option", "spot", "future_combo", "option_combo")
CURRENCIES = ("any", "BTC", "ETH", "USDC", "USDT", "EURR")

Topic = Literal[
    "book",
    "grouped",
    "trades",
    "trades of kind",
    "ticker",
    "perpetual",
    "quote",
    "state",
    "platform",
    "platform methods",
    "other",
]


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel name taken apart; what a topic does not have is empty."""

    name: str
    topic: Topic
    instrument: str = ""
    interval: str = ""
    group: str = ""
    depth: int = 0
    kind: str = ""
    currency: str = ""

    @property
    def needs_login(self) -> bool:
        return self.interval == "raw"


def parse_channel(name: str) -> Channel:
    """The channel of that name; `other` when the venue's model knows no such shape."""
    match name.split("."):
        case ["book", instrument, interval] if interval in INTERVALS:
            return Channel(name, "book", instrument, interval)
        case ["book", instrument, group, depth, interval] if (
            group in _groups(instrument)
            and depth in GROUPED_DEPTHS
            and interval in GROUPED_INTERVALS
        ):
            return Channel(name, "grouped", instrument, interval, group, int(depth))
        case ["trades", kind, currency, interval] if (
            kind in KINDS and currency in CURRENCIES and interval in INTERVALS[:2]
        ):
            return Channel(name, "trades of kind", interval=interval, kind=kind, currency=currency)
        case ["trades", instrument, interval] if interval in INTERVALS[:2]:
            return Channel(name, "trades", instrument, interval)
        case ["ticker", instrument, interval] if interval in INTERVALS:
            return Channel(name, "ticker", instrument, interval)
        case ["perpetual", instrument, interval] if interval in INTERVALS:
            return Channel(name, "perpetual", instrument, interval)
        case ["quote", instrument]:
            return Channel(name, "quote", instrument)
        case ["instrument", "state", kind, currency] if kind in KINDS and currency in CURRENCIES:
            return Channel(name, "state", kind=kind, currency=currency)
        case ["platform_state"]:
            return Channel(name, "platform")
        case ["platform_state", "public_methods_state"]:
            return Channel(name, "platform methods")
    return Channel(name, "other")


def notification(channel: str, data: str) -> str:
    """The message that carries the JSON text `data` to the subscribers of a channel."""
    return (
        '{"jsonrpc":"2.0","method":"subscription","params":'
        f'{{"channel":"{channel}","data":{data}}}}}'
    )


def _groups(instrument: str) -> tuple[str, ...]:
    return {"BTC-PERPETUAL": GROUPS_BTC, "ETH-PERPETUAL": GROUPS_ETH}.get(instrument, GROUPS)
