"""Ingest and its clients are what the settings say: venue, key, channels, connections."""

from __future__ import annotations

from typing import Any

from app.ingest.service import Ingest
from app.settings import Settings
from deribit.auth import Credentials, Grant
from tests.ingest.feed import MemoryFeed, partition_of

BTC = "BTC-PERPETUAL"


def from_settings(feed: MemoryFeed, **given: Any) -> Ingest:
    """Return the ingest of an installation, with a feed in memory."""
    return Ingest.from_settings(
        Settings(**given),
        publish=feed.publish,
        publish_refused=feed.publish_refused,
        partition_of=partition_of,
    )


def test_instruments_and_channels() -> None:
    ingest = from_settings(
        MemoryFeed(),
        venue_url="ws://127.0.0.1:1/",
        instruments=(BTC,),
        channels=("book", "quote"),
        linger_ms=0,
    )
    assert ingest.wanted.channels() == {}
    ingest.wanted.partitions = frozenset({0})
    book = f"book.{BTC}.100ms"
    wanted = ingest.wanted.channels()
    assert wanted[book] == book
    assert wanted[f"quote.{BTC}"] == book


def test_venue_and_key() -> None:
    ingest = from_settings(
        MemoryFeed(),
        testnet=True,
        client_id="id",
        client_secret="canary",
        client_grant="client_signature",
    )
    assert ingest.client._url == "wss://test.deribit.com/ws/api/v2"
    assert ingest.client._credentials == Credentials("id", "canary", Grant.CLIENT_SIGNATURE)
    assert from_settings(MemoryFeed()).client._credentials is None
