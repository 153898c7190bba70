"""What is published in USD is in USD: of inverse and linear, perpetual and dated futures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.api.routes.instruments import Instruments
from app.state.live_state import live_state
from models.frame import Connected, Described
from tests.processing.market import START_MS, message
from tests.processing.test_unserved import Told

BID, ASK = 40.0, 50.0
FUTURES = [
    ("BTC-PERPETUAL", False, "USD"),
    ("ETH-25DEC26", False, "USD"),
    ("SOL_USDC-PERPETUAL", True, "SOL"),
    ("BTC_USDT-3JUL26", True, "BTC"),
    ("ETH_USD-25DEC26", True, "ETH"),
]


def told(name: str, listed: bool | None = None) -> Told:
    """Return an instrument with a book of one level a side, a trade and a ticker."""
    market = Told(name)
    book: dict[str, Any] = {"timestamp": START_MS, "instrument_name": name, "change_id": 1}
    book |= {"type": "snapshot", "bids": [["new", BID, 3.0]], "asks": [["new", ASK, 2.0]]}
    more = {"timestamp": START_MS + 100, "type": "change", "change_id": 2, "prev_change_id": 1}
    more |= {"bids": [["change", BID, 7.0]], "asks": []}
    trade = {"timestamp": START_MS + 200, "instrument_name": name, "trade_seq": 1}
    trade |= {"price": ASK, "amount": 1.5, "direction": "buy"}
    ticker = {"timestamp": START_MS + 300, "instrument_name": name}
    ticker |= {"mark_price": 45.0, "open_interest": 200.0}
    market.tell(
        Connected(0, "w", False),
        *([] if listed is None else [Described(0, listed)]),
        message(market.channel, book),
        message(market.channel, book | more),
        message(f"trades.{name}.100ms", [trade]),
        message(f"ticker.{name}.100ms", ticker),
    )
    return market


@pytest.mark.parametrize(("name", "linear", "unit"), FUTURES)
def test_sizes_are_valued_at_their_price_where_they_are_in_a_coin(
    name: str, linear: bool, unit: str
) -> None:
    market = told(name)
    at_bid, at_ask, at_mark = (BID, ASK, 45.0) if linear else (1.0, 1.0, 1.0)
    window = market.tick(5_000).windows[0]
    assert window["start_ms"] == START_MS
    assert window["buy_usd"] == 1.5 * at_ask
    assert window["ask_depth_1_usd_mean"] == 2.0 * at_ask
    assert window["bid_depth_1_usd_mean"] == pytest.approx((0.1 * 3 + 0.9 * 7) * at_bid)
    assert window["ofi_usd"] == 4.0 * at_bid
    assert window["open_interest_usd"] == 200.0 * at_mark

    live = live_state(market.processor, 0, None, START_MS)
    assert (live.linear, live.open_interest_usd) == (linear, 200.0 * at_mark)
    assert live.best_bid_size == 7.0  # as the venue quotes it, in this unit:
    row = row_of(live)
    assert (row["linear"], row["size_unit"]) == (linear, unit)


def test_the_venues_list_decides_where_the_name_says_something_else() -> None:
    market = told("BTC-25DEC26", listed=True)
    assert market.tick(5_000).windows[0]["buy_usd"] == 1.5 * ASK
    row = row_of(live_state(market.processor, 0, None, START_MS))
    assert (row["linear"], row["size_unit"]) == (True, "BTC")


def row_of(live: Any) -> dict[str, Any]:
    """Return the row of `/v1/instruments`."""
    serving: Any = SimpleNamespace(status_of=lambda state: state.status, age_ms=lambda state: 0)
    services: Any = SimpleNamespace(serving=serving, owners=None, hub=None, metrics=None)
    return Instruments(services)._row(live)
