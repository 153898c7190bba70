"""Several connections to one venue: shared load, apart in failure, one order of frames."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from app.ingest.service import Ingest
from exchange import Config, Exchange
from models.frame import Connected, Disconnected, Notification, Tick, connection_of
from tests.ingest.feed import PATIENCE_S, MemoryFeed, ingesting, partition_of
from tests.ingest.test_ingest import BTC, ETH, book_data, check_sequences
from tests.ingest.test_made_from_settings import from_settings

SIX = {"seed": 7, "instruments": 6, "rate": 40.0}
SPREAD: dict[str, Any] = {"kinds": ("book", "trades"), "channels_per_connection": 6}
"""Two channels each: three instruments on a connection, two connections."""


def connections_of(feed: MemoryFeed) -> dict[str, set[str]]:
    """Return the instruments of each connection's sessions."""
    found: dict[str, set[str]] = defaultdict(set)
    for frame in feed.frames:
        if frame.instrument:
            found[connection_of(frame.session)].add(frame.instrument)
    return found


async def all_live(feed: MemoryFeed, ingest: Ingest, count: int = 6) -> list[str]:
    """Wait until every instrument has a book; return their names."""
    await feed.until(
        lambda: (
            len(ingest.wanted.instruments()) == count
            and all(book_data(feed, name) for name in ingest.wanted.instruments())
        )
    )
    return ingest.wanted.instruments()


def cut_the_connection_of(venue: Exchange, instrument: str) -> None:
    """Let the venue drop the one connection that follows an instrument's book."""
    (follower,) = venue.hub.live[f"book.{instrument}.100ms"]
    follower.cut()


async def test_instruments_are_spread_over_connections_with_sessions_of_their_own() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**SIX)) as venue, ingesting(venue.url, feed, **SPREAD) as ingest:
        await all_live(feed, ingest)
        assert len(venue.hub.connections) == 2
        assert [one.status()["instruments"] for one in ingest.connections] == [3, 3]
        assert ingest.client.counts.messages > 0
        sessions = connections_of(feed)
        assert sorted(len(names) for names in sessions.values()) == [3, 3]
        assert not set.intersection(*sessions.values())
    check_sequences(feed)
    for name in ingest.wanted.instruments():
        assert isinstance(feed.items(name)[-1], Disconnected)


async def test_one_that_fails_does_not_touch_the_instruments_of_the_other() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**SIX)) as venue, ingesting(venue.url, feed, **SPREAD) as ingest:
        names = await all_live(feed, ingest)
        mine = next(group for group in connections_of(feed).values() if BTC in group)
        others = set(names) - mine
        cut_the_connection_of(venue, BTC)
        await feed.until(lambda: all(len(feed.items(name, Connected)) == 2 for name in mine))
        seen = {name: len(book_data(feed, name)) for name in names}
        await feed.until(lambda: all(len(book_data(feed, name)) > seen[name] for name in names))
        for name in others:
            assert feed.items(name, Disconnected) == []
            assert len(feed.items(name, Connected)) == 1
            data = book_data(feed, name)
            assert [one["type"] for one in data].count("snapshot") == 1
            ids = [one["change_id"] for one in data]
            assert [one["prev_change_id"] for one in data[1:]] == ids[:-1]
        assert ingest.client.counts.disconnects == {"reset": 1}
    check_sequences(feed)


async def test_each_session_has_its_own_ticks_in_the_partitions_of_its_instruments() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**SIX)) as venue, ingesting(venue.url, feed, **SPREAD) as ingest:
        await all_live(feed, ingest)

        def ticked() -> set[tuple[str, int | None]]:
            return {
                (frame.session, partition)
                for frame, (_, _, partition) in zip(feed.frames, feed.records, strict=True)
                if not frame.instrument
            }

        needed = {
            (session, partition_of(name))
            for session, names in connections_of(feed).items()
            for name in names
        }
        await feed.until(lambda: needed <= ticked())
    clocks: dict[tuple[str, int | None], list[int]] = defaultdict(list)
    for frame, (_, _, partition) in zip(feed.frames, feed.records, strict=True):
        for item in frame.items:
            if isinstance(item, Tick):
                clocks[frame.session, partition].append(item.venue_ms)
    for clock in clocks.values():
        assert clock == sorted(clock)


async def test_an_instrument_stays_on_its_connection_while_others_come_and_go() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**SIX)) as venue, ingesting(venue.url, feed, **SPREAD) as ingest:
        names = await all_live(feed, ingest)
        leaving = [name for name in names if name not in (BTC, ETH)][:2]
        for name in leaving:
            ingest.override(name, False)
        await feed.until(lambda: all(feed.items(name, Disconnected) for name in leaving))
        for name in leaving:
            ingest.override(name, True)
        await feed.until(lambda: all(len(feed.items(name, Connected)) == 2 for name in leaving))
        seen = len(book_data(feed, leaving[0]))
        await feed.until(lambda: len(book_data(feed, leaving[0])) > seen)
        for name in set(names) - set(leaving):
            assert len(feed.items(name, Connected)) == 1
    check_sequences(feed)


async def test_a_connection_without_instruments_is_closed_and_a_later_one_has_another_name() -> (
    None
):
    feed = MemoryFeed()
    async with Exchange(Config(**SIX)) as venue, ingesting(venue.url, feed, **SPREAD) as ingest:
        await all_live(feed, ingest)
        first, second = ingest.connections
        moved = [name for name in ingest.wanted.instruments() if second.framer.channel_of(name)]
        for name in moved:
            ingest.override(name, False)
        assert ingest.connections == [first]
        await feed.until(lambda: all(feed.items(name, Disconnected) for name in moved))
        async with asyncio.timeout(PATIENCE_S):
            while len(venue.hub.connections) > 1:
                await asyncio.sleep(0.01)
        for name in moved:
            ingest.override(name, True)
        await feed.until(lambda: all(len(feed.items(name, Connected)) == 2 for name in moved))
        assert len(ingest.connections) == 2
        assert len(connections_of(feed)) == 3
        for name in moved:
            marks = feed.items(name, (Connected, Disconnected))
            assert [type(mark) for mark in marks] == [Connected, Disconnected, Connected]
    check_sequences(feed)


async def test_a_resync_goes_to_the_connection_that_has_the_book() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**SIX)) as venue, ingesting(venue.url, feed, **SPREAD) as ingest:
        await all_live(feed, ingest)
        for session, names in connections_of(feed).items():
            for name in sorted(names)[:1]:
                assert not ingest.resync(name, "another session")
                assert ingest.resync(name, session)
                await feed.until(
                    lambda name=name: (
                        [one["type"] for one in book_data(feed, name)].count("snapshot") == 2
                    )
                )
        assert ingest.counts.gaps == 2


async def test_only_the_first_connection_asks_for_the_instruments() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**SIX)) as venue:
        ingest = from_settings(feed, venue_url=venue.url, channels_per_connection=10)
        ingest.assign(range(4))
        async with ingest:
            await all_live(feed, ingest)
            await feed.until(lambda: len(venue.hub.connections) == 2)
            lists = [one.client._lists_instruments for one in ingest.connections]
            assert lists == [True, False]
            assert len({id(one.client.counts) for one in ingest.connections}) == 1
            assert len({id(one.client._limits) for one in ingest.connections}) == 1


async def test_a_slow_kafka_holds_all_connections_back_and_order_is_kept() -> None:
    feed = MemoryFeed()
    options = SPREAD | {"client": {"queue_max_messages": 20}}
    async with Exchange(Config(**SIX)) as venue, ingesting(venue.url, feed, **options) as ingest:
        names = await all_live(feed, ingest)
        feed.open.clear()
        async with asyncio.timeout(PATIENCE_S):
            while ingest.client.counts.overflowed < 6:
                await asyncio.sleep(0.02)
        feed.open.set()
        seen = {name: len(feed.items(name, Notification)) for name in names}
        await feed.until(
            lambda: all(len(feed.items(name, Notification)) > seen[name] + 2 for name in names)
        )
    check_sequences(feed)
