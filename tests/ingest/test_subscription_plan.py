"""What is ingested: the default set or a given one, overrides, partitions, channels."""

from __future__ import annotations

import pytest

from app.ingest.subscription_plan import SubscriptionPlan, perpetuals
from deribit.events import Instrument
from deribit.vocabulary import Kind, is_channel_kind
from tests.ingest.feed import partition_of

BTC, ETH, SOL = "BTC-PERPETUAL", "ETH-PERPETUAL", "SOL_USDC-PERPETUAL"


def perpetual(name: str, **fields: str) -> Instrument:
    return Instrument(name, settlement_period="perpetual", **fields)


DATED = Instrument("BTC-25DEC26", settlement_period="month")


def wanted(*given: str, interval: str = "100ms") -> SubscriptionPlan:
    made = SubscriptionPlan(partition_of, given, ("book", "trades", "quote"), interval)
    made.partitions = frozenset(range(4))
    made.listed = {each.instrument_name: each for each in (perpetual(BTC), perpetual(SOL), DATED)}
    return made


def test_the_default_is_what_the_venue_lists_and_a_given_set_replaces_it() -> None:
    assert wanted().instruments() == [BTC, SOL]
    assert wanted(SOL).instruments() == [SOL]
    assert wanted(DATED.instrument_name).instruments() == ["BTC-25DEC26"]


def test_only_what_is_in_owned_partitions() -> None:
    made = wanted()
    made.partitions = frozenset({partition_of(SOL)})
    assert made.instruments() == [SOL]
    made.partitions = frozenset()
    assert made.channels() == {}


def test_overrides_add_remove_and_are_taken_back() -> None:
    made = wanted()
    made.override("BTC-25DEC26", True, None, None)
    made.override(BTC, False, None, None)
    assert made.instruments() == [SOL, "BTC-25DEC26"]
    made.override("BTC-25DEC26", None, None, None)
    made.override(BTC, None, None, None)
    assert made.instruments() == [BTC, SOL]


def test_channels_belong_to_the_book_of_their_instrument() -> None:
    book = f"book.{BTC}.100ms"
    assert wanted(BTC).channels() == {book: book, f"trades.{BTC}.100ms": book, f"quote.{BTC}": book}


def test_raw_is_raw_throughout_and_agg2_is_for_the_book_only() -> None:
    assert f"trades.{BTC}.raw" in wanted(BTC, interval="raw").channels()
    assert set(wanted(BTC, interval="agg2").channels()) == {
        f"book.{BTC}.agg2",
        f"trades.{BTC}.100ms",
        f"quote.{BTC}",
    }


def test_an_override_of_channels_leaves_the_choice_of_instruments_alone() -> None:
    made = wanted()
    made.override(BTC, None, ("ticker",), "raw")
    made.override("BTC-25DEC26", None, ("ticker",), "raw")
    assert made.instruments() == [BTC, SOL]
    assert [name for name in made.channels() if "BTC" in name] == [
        f"book.{BTC}.raw",
        f"ticker.{BTC}.raw",
    ]


def test_an_override_can_leave_nothing_but_the_book() -> None:
    made = wanted(BTC)
    made.override(BTC, None, (), None)
    assert list(made.channels()) == [f"book.{BTC}.100ms"]


def test_channels_about_many_instruments_come_without_a_book_and_only_to_owners() -> None:
    kinds = ("book", "instrument.state", "platform_state")
    made = SubscriptionPlan(partition_of, (BTC,), kinds, "100ms")
    assert made.channels() == {}
    made.partitions = frozenset({3})
    assert made.channels() == {"instrument.state.future.any": "", "platform_state": ""}
    made.partitions = frozenset(range(4))
    assert made.channels()[f"book.{BTC}.100ms"] == f"book.{BTC}.100ms"
    assert len(made.channels()) == 3


@pytest.mark.parametrize(
    ("interval", "grouped"), [("100ms", "100ms"), ("raw", "100ms"), ("agg2", "100ms")]
)
def test_a_grouped_book_belongs_to_the_book_that_is_measured(interval: str, grouped: str) -> None:
    made = SubscriptionPlan(partition_of, (BTC,), ("book", "book.none.10"), interval)
    made.partitions = frozenset(range(4))
    book = f"book.{BTC}.{interval}"
    assert made.channels() == {book: book, f"book.{BTC}.none.10.{grouped}": book}


@pytest.mark.parametrize("kind", [*Kind, "instrument.state", "platform_state", "book.5.1"])
def test_what_can_be_followed(kind: str) -> None:
    assert is_channel_kind(kind)


@pytest.mark.parametrize("kind", ["", "books", "instrument", "book.3.10", "book.none.10.raw"])
def test_what_cannot_be_followed(kind: str) -> None:
    assert not is_channel_kind(kind)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "it is no instrument name"),
        ("book.evil", "it is no instrument name"),
        ("x" * 100, "it is no instrument name"),
        ("BTC-25DEC26-90000-P", "it is an option"),
        ("ETH-PERPETUAL", "is not among the 3 open futures that the venue lists"),
    ],
)
def test_what_cannot_be_had_is_left_out_and_said(name: str, why: str) -> None:
    given, added = wanted(name, BTC), wanted()
    added.override(name, True, None, None)
    for made in (given, added):
        assert made.instruments() == [one for one in made.listed if one in made.instruments()]
        assert name not in made.instruments()
        assert list(made.refused()) == [name]
        assert why in made.refused()[name]
        assert not any(name and name in channel for channel in made.channels())
    added.override(name, False, None, None)
    assert added.refused() == {}


def test_a_name_is_believed_until_the_venue_has_listed_its_futures() -> None:
    made = wanted(ETH, "ETH_BTC")
    made.listed = {}
    assert made.instruments() == [ETH]
    assert list(made.refused()) == ["ETH_BTC"]


def test_only_who_owns_its_partition_says_what_cannot_be_had() -> None:
    made = wanted(ETH)
    made.partitions = frozenset({partition_of(BTC)})
    assert made.refused() == {}


def test_perpetuals_that_are_not_served_are_no_part_of_the_default_set() -> None:
    made = wanted()
    euro = perpetual("BTC_EURR-PERPETUAL", quote_currency="EURR")
    made.listed = {BTC: perpetual(BTC), euro.instrument_name: euro}
    assert made.instruments() == [BTC]
    assert made.refused() == {}
    assert perpetuals(made.listed) == ([BTC], ["BTC_EURR-PERPETUAL"])
    made.override(euro.instrument_name, True, None, None)
    assert "quoted in EURR" in made.refused()[euro.instrument_name]
