"""Names of channels and what is done about error codes."""

from __future__ import annotations

import pytest

from app.api.openapi import NAME
from app.api.routes.page import FOLDER
from deribit.vocabulary import (
    Channel,
    ErrorCode,
    Reaction,
    channel_name,
    error_name,
    parse_channel,
    reaction_to,
    without_raw,
)
from orderbook.instrument_names import EXACTLY_A_NAME, is_instrument_name


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("book.BTC-PERPETUAL.100ms", Channel("book", "BTC-PERPETUAL", "100ms")),
        ("book.BTC_USDC-PERPETUAL.raw", Channel("book", "BTC_USDC-PERPETUAL", "raw")),
        ("trades.ETH-PERPETUAL.raw", Channel("trades", "ETH-PERPETUAL", "raw")),
        ("quote.BTC-PERPETUAL", Channel("quote", "BTC-PERPETUAL", "")),
        ("book.BTC-PERPETUAL.none.10.100ms", Channel("book", "BTC-PERPETUAL", "")),
        ("trades.future.any.100ms", Channel("trades", "", "")),
        ("platform_state", Channel("platform_state", "", "")),
    ],
)
def test_parts_of_a_name(name: str, channel: Channel) -> None:
    assert parse_channel(name) == channel
    assert channel.is_incremental_book == (name.count(".") == 2 and name.startswith("book."))


@pytest.mark.parametrize(
    "name", ["", ".", "book..100ms", "books.BTC.100ms", "quote.a.b", "ticker.a"]
)
def test_what_is_no_name(name: str) -> None:
    assert parse_channel(name) is None


def test_names_come_apart_as_they_were_put_together() -> None:
    for kind, interval in (("book", "raw"), ("trades", "100ms"), ("ticker", "agg2"), ("quote", "")):
        name = channel_name(kind, "SOL_USDC-PERPETUAL", interval)
        assert parse_channel(name) == Channel(kind, "SOL_USDC-PERPETUAL", interval)


def test_raw_becomes_100ms_and_nothing_else_changes() -> None:
    assert without_raw("book.BTC-PERPETUAL.raw") == "book.BTC-PERPETUAL.100ms"
    assert without_raw("book.BTC-PERPETUAL.agg2") == "book.BTC-PERPETUAL.agg2"
    assert without_raw("quote.BTC-PERPETUAL") == "quote.BTC-PERPETUAL"


@pytest.mark.parametrize("name", ["", "a.b", "a b", "x" * 65, "-x", "a\n", "ключ"])
def test_hostile_instrument_names(name: str) -> None:
    assert not is_instrument_name(name)


def test_the_page_and_the_schema_know_the_same_names() -> None:
    assert f"const NAME = /{EXACTLY_A_NAME}/;" in (FOLDER / "address.js").read_text()
    assert NAME["pattern"] == EXACTLY_A_NAME
    assert is_instrument_name("XRP_USDC-25DEC26-0d5-C")


def test_every_code_has_a_reaction_and_a_label() -> None:
    assert reaction_to(ErrorCode.TOO_MANY_REQUESTS) is Reaction.RECONNECT
    assert reaction_to(424242) is Reaction.REPORT
    assert error_name(10028) == "too_many_requests"
    assert error_name(424242) == "other_error"
