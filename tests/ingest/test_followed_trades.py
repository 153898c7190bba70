"""The feed says of which venue a session is, and whether an instrument's trades are followed."""

from __future__ import annotations

from typing import Any

import pytest

from app.ingest.service import Ingest
from deribit.vocabulary import Kind
from exchange import Config, Exchange
from models.frame import Connected, Disconnected, TradesFollowed
from tests.ingest.feed import MemoryFeed, ingesting

BTC = "BTC-PERPETUAL"
LIVELY = {"seed": 7, "instruments": 2, "rate": 30.0}
MARKS = (Connected, Disconnected, TradesFollowed)


def marks(feed: MemoryFeed) -> list[Any]:
    return [(type(mark), getattr(mark, "is_followed", None)) for mark in feed.items(BTC, MARKS)]


def unsubscribe_trades(ingest: Ingest) -> None:
    ingest.override(BTC, True, [Kind.BOOK, Kind.TICKER])


async def test_a_confirmed_trades_channel_is_a_mark_in_each_session() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**LIVELY)) as venue, ingesting(venue.url, feed):
        await feed.until(lambda: feed.items(BTC, TradesFollowed))
        venue.drop_connections()
        await feed.until(lambda: len(feed.items(BTC, TradesFollowed)) == 2)
    session = [(Connected, None), (TradesFollowed, True), (Disconnected, None)]
    assert marks(feed) == session * 2


async def test_a_trades_channel_that_is_given_up_is_a_mark_too() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**LIVELY)) as venue, ingesting(venue.url, feed) as ingest:
        await feed.until(lambda: feed.items(BTC, TradesFollowed))
        unsubscribe_trades(ingest)
        await feed.until(lambda: len(feed.items(BTC, TradesFollowed)) == 2)
        ingest.override(BTC, True, [Kind.BOOK, Kind.TRADES])
        await feed.until(lambda: len(feed.items(BTC, TradesFollowed)) == 3)
    assert [mark.is_followed for mark in feed.items(BTC, TradesFollowed)] == [True, False, True]


async def test_a_session_that_is_begun_anew_for_one_instrument_still_follows_its_trades() -> None:
    """Only its book is subscribed again: the venue confirms the trades channel once."""
    feed = MemoryFeed()
    async with Exchange(Config(**LIVELY)) as venue, ingesting(venue.url, feed) as ingest:
        await feed.until(lambda: feed.items(BTC, TradesFollowed))
        session = next(frame.session for frame in feed.frames if frame.instrument == BTC)
        assert ingest.resync(BTC, session, is_ended=True)
        await feed.until(lambda: len(feed.items(BTC, TradesFollowed)) == 2)
    session_marks = [(Connected, None), (TradesFollowed, True), (Disconnected, None)]
    assert marks(feed) == session_marks * 2


async def test_without_the_channel_there_is_no_mark() -> None:
    feed = MemoryFeed()
    async with (
        Exchange(Config(**LIVELY)) as venue,
        ingesting(venue.url, feed, kinds=(Kind.BOOK, Kind.TICKER)),
    ):
        await feed.until(lambda: len(feed.items(BTC)) > 10)
    assert feed.items(BTC, TradesFollowed) == []


@pytest.mark.parametrize(
    ("version", "testnet", "venue_name"),
    [
        ("1.2.26-simulated", True, "simulated"),
        ("1.2.26", False, "deribit"),
        ("1.2.26", True, "deribit-test"),
    ],
)
async def test_a_session_says_of_which_venue_it_is(
    version: str, testnet: bool, venue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.methods.SIMULATED_VERSION", version)
    feed = MemoryFeed()
    async with Exchange(Config(**LIVELY, testnet=testnet)) as venue, ingesting(venue.url, feed):
        await feed.until(lambda: feed.items(BTC, Connected))
    assert {mark.venue for mark in feed.items(BTC, Connected)} == {venue_name}
