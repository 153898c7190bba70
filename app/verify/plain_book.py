"""A book kept in the plainest way, as decimals by price; and the notifications of one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Levels = dict[Decimal, Decimal]


@dataclass(slots=True)
class PlainBook:
    """Levels by price, as of a change_id."""

    change_id: int | None = None
    bids: Levels = field(default_factory=dict)
    asks: Levels = field(default_factory=dict)

    def apply(self, data: dict[str, Any]) -> None:
        """Apply the data of a notification that is known to follow, or of a snapshot."""
        if data.get("type") == "snapshot" or not data.get("prev_change_id"):
            self.bids, self.asks = {}, {}
        for levels, changes in ((self.bids, data["bids"]), (self.asks, data["asks"])):
            for action, price, amount in changes:
                if action == "delete" or not amount:
                    levels.pop(Decimal(price), None)
                else:
                    levels[Decimal(price)] = Decimal(amount)
        self.change_id = data["change_id"]

    def sides(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """Return bids and asks, best first."""
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())


def parse(message: bytes) -> tuple[str, dict[str, Any]] | None:
    """Return channel and data of an incremental book notification; None for anything else."""
    if b'"book.' not in message:
        return None
    try:
        params = json.loads(message, parse_float=Decimal)["params"]
        channel, data = params["channel"], params["data"]
        if channel.startswith("book.") and isinstance(data, dict) and "change_id" in data:
            return channel, data
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return None
