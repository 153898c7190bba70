"""Statements: tickers, quotes, funding, states and grouped books are read whole or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deribit.decode_books_trades import Unreadable, decode
from deribit.decode_fields import instrument_of
from deribit.decode_quotes_states import (
    Figures,
    Funding,
    InstrumentState,
    PlatformState,
    Quote,
    subject_of,
)
from orderbook.events import GroupedBook
from orderbook.units import UNIT

SHARED = Path(__file__).parents[3] / "shared" / "data"
NAME = "BTC-PERPETUAL"
AT = 1_789_344_933_994
BEST = {
    "timestamp": AT,
    "instrument_name": NAME,
    "best_bid_price": 76914.0,
    "best_bid_amount": 1.0002e6,
    "best_ask_price": 76914.5,
    "best_ask_amount": 25004,
}
BID, ASK = (76914 * UNIT, 1_000_200 * UNIT), (7_691_450_000_000, 25_004 * UNIT)
GROUPED = {
    "timestamp": AT,
    "change_id": 45176552517,
    "instrument_name": NAME,
    "bids": [[31523.5, 128780.0], [31523.0, 190.0]],
    "asks": [[31524.0, 30.0]],
}
STATE = {"timestamp": AT, "state": "halted", "instrument_name": NAME}
FUNDING = {"timestamp": AT, "interest": 1.423e-4, "index_price": 76906.67}
QUOTE_CHANNEL, TICKER_CHANNEL = f"quote.{NAME}", f"ticker.{NAME}.100ms"
FUNDING_CHANNEL, STATE_CHANNEL = f"perpetual.{NAME}.100ms", "instrument.state.future.any"
GROUPED_CHANNEL, PLATFORM_CHANNEL = f"book.{NAME}.none.20.100ms", "platform_state"


def wire(channel: str, data: Any) -> bytes:
    message = {"method": "subscription", "params": {"channel": channel, "data": data}}
    return json.dumps(message, separators=(",", ":")).encode()


def read(channel: str, data: Any) -> Any:
    found = decode(wire(channel, data), NAME)
    assert found is not None
    assert found[0] == channel
    return found[1]


def test_a_quote_is_read_in_units() -> None:
    assert read(QUOTE_CHANNEL, BEST) == Quote(AT, BID, ASK)


@pytest.mark.parametrize("nothing", [0, 0.0, None])
@pytest.mark.parametrize("field", ["best_bid_price", "best_bid_amount"])
def test_an_empty_side_is_written_as_zero_or_null(field: str, nothing: float | None) -> None:
    assert read(QUOTE_CHANNEL, BEST | {field: nothing}) == Quote(AT, None, ASK)


def test_a_ticker_says_more_than_figures() -> None:
    found = read(TICKER_CHANNEL, BEST | {"state": "open", "current_funding": -2.5e-5})
    assert isinstance(found, Figures)
    assert (found.quote, found.state, found.current_funding) == (
        Quote(AT, BID, ASK),
        "open",
        -2.5e-5,
    )


def test_a_trimmed_ticker_has_no_quote() -> None:
    trimmed = {name: value for name, value in BEST.items() if name != "best_ask_amount"}
    assert read(TICKER_CHANNEL, trimmed).quote is None


def test_funding_states_and_grouped_books_are_read() -> None:
    assert read(FUNDING_CHANNEL, FUNDING) == Funding(AT, 1.423e-4, 76906.67)
    assert read(STATE_CHANNEL, STATE) == InstrumentState(AT, "halted")
    grouped = read(GROUPED_CHANNEL, GROUPED)
    assert grouped == GroupedBook(
        GROUPED_CHANNEL, AT, 45176552517, [(31523.5, 128780.0), (31523.0, 190.0)], [(31524.0, 30.0)]
    )


@pytest.mark.parametrize(
    ("data", "state"),
    [
        ({"maintenance": True}, PlatformState(True, None, None)),
        ({"price_index": "btc_usd", "locked": True}, PlatformState(None, "btc_usd", True)),
        ({"price_index": "btc_usd", "locked": "partial"}, PlatformState(None, "btc_usd", True)),
        ({"price_index": "btc_usd", "locked": "false"}, PlatformState(None, "btc_usd", False)),
        ({}, PlatformState(None, None, None)),
    ],
)
def test_the_platforms_state_is_about_all(data: dict[str, Any], state: PlatformState) -> None:
    assert read(PLATFORM_CHANNEL, data) == state


@pytest.mark.parametrize(
    ("channel", "data", "word"),
    [
        (QUOTE_CHANNEL, BEST | {"best_bid_price": -1.0}, "-1.0"),
        (QUOTE_CHANNEL, BEST | {"best_bid_amount": 1e-9}, "1e-09"),
        (QUOTE_CHANNEL, BEST | {"best_ask_price": "76914.5"}, "best_ask_price"),
        (QUOTE_CHANNEL, BEST | {"best_ask_price": 1e15}, "1e"),
        (QUOTE_CHANNEL, BEST | {"instrument_name": "ETH-PERPETUAL"}, "ETH"),
        (QUOTE_CHANNEL, BEST | {"timestamp": 1e12}, "timestamp"),
        ("quote.ETH-PERPETUAL", BEST | {"instrument_name": "ETH-PERPETUAL"}, "ETH"),
        (TICKER_CHANNEL, BEST | {"state": ""}, "state"),
        (TICKER_CHANNEL, BEST | {"state": "x" * 33}, "state"),
        (TICKER_CHANNEL, BEST | {"current_funding": True}, "current_funding"),
        (FUNDING_CHANNEL, {"timestamp": AT}, "interest"),
        (FUNDING_CHANNEL, FUNDING | {"interest": 1e300}, "interest"),
        ("perpetual.X.raw", FUNDING, "about X"),
        (STATE_CHANNEL, STATE | {"instrument_name": "ETH-PERPETUAL"}, "ETH"),
        (STATE_CHANNEL, STATE | {"state": None}, "state"),
        (PLATFORM_CHANNEL, {"maintenance": "yes"}, "maintenance"),
        (PLATFORM_CHANNEL, [], "data"),
        (GROUPED_CHANNEL, GROUPED | {"bids": [[1.0]]}, "bids"),
        (GROUPED_CHANNEL, GROUPED | {"bids": [["new", 1.0, 1.0]]}, "bids"),
        (GROUPED_CHANNEL, GROUPED | {"asks": [[1.0, -1.0]]}, "asks"),
        (GROUPED_CHANNEL, GROUPED | {"asks": [[1.0, 1.0]] * 101}, "asks"),
        (GROUPED_CHANNEL, GROUPED | {"change_id": None}, "change_id"),
    ],
)
def test_what_is_wrong_is_refused_with_the_reason(channel: str, data: Any, word: str) -> None:
    with pytest.raises(Unreadable, match=word):
        decode(wire(channel, data), NAME)


def test_channels_name_their_instrument_or_none() -> None:
    of_one = [QUOTE_CHANNEL, TICKER_CHANNEL, FUNDING_CHANNEL, GROUPED_CHANNEL]
    of_one += [f"book.{NAME}.raw", f"trades.{NAME}.raw", f"chart.trades.{NAME}.1"]
    assert {instrument_of(channel) for channel in of_one} == {NAME}
    of_many = [STATE_CHANNEL, PLATFORM_CHANNEL, "trades.future.any.100ms", "book"]
    of_many += ["deribit_price_index.btc_usd", "platform_state.public_methods_state"]
    assert {instrument_of(channel) for channel in of_many} == {""}


def test_the_subject_of_a_message_about_many() -> None:
    assert subject_of(STATE_CHANNEL, wire(STATE_CHANNEL, STATE)) == NAME
    assert subject_of(STATE_CHANNEL, b"{") is None
    assert subject_of(PLATFORM_CHANNEL, wire(PLATFORM_CHANNEL, {"maintenance": True})) == ""
    assert subject_of("trades.future.any.raw", b"{}") is None


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recordings in {SHARED.name}")
def test_every_channel_of_the_real_frames_is_read() -> None:
    kinds: dict[str, int] = {}
    for line in (SHARED / "crypto-msg-parser-deribit-frames.jsonl").read_bytes().splitlines():
        found = decode(json.dumps(json.loads(line)["msg"]).encode())
        if found is not None:
            kind = type(found[1]).__name__
            kinds[kind] = kinds.get(kind, 0) + 1
            if isinstance(found[1], Figures):
                quote = found[1].quote
                assert quote is not None
                assert quote.bid is not None
                assert quote.ask is not None
                assert quote.bid < quote.ask
    assert kinds == {
        "list": 3, "Change": 5, "GroupedBook": 3, "Quote": 2, "Ignored": 3, "Figures": 3
    }  # fmt: skip
