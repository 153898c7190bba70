"""Ingest against the simulated exchange: the feed holds what the venue sent, and its breaks."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from app.ingest.service import VenueRefused
from deribit.auth import Credentials
from exchange import Config, Exchange
from models.frame import Connected, Disconnected, GapFound, Notification, Tick
from tests.ingest.feed import PARTITIONS, PATIENCE_S, MemoryFeed, ingesting, partition_of

BTC, ETH = "BTC-PERPETUAL", "ETH-PERPETUAL"
LIVELY = {"seed": 7, "instruments": 4, "rate": 30.0}


def book_data(feed: MemoryFeed, instrument: str, interval: str = "100ms") -> list[dict[str, Any]]:
    """Return the data of an instrument's book notifications, in the order of the feed."""
    return data_of(feed.items(instrument, Notification), f"book.{instrument}.{interval}")


def data_of(items: list[Any], channel: str) -> list[dict[str, Any]]:
    """Return the data of a channel's notifications."""
    found = [json.loads(item.message)["params"] for item in items]
    return [params["data"] for params in found if params["channel"] == channel]


def check_sequences(feed: MemoryFeed) -> None:
    """Frames are numbered without a hole, per session and instrument, from 1."""
    last: dict[tuple[str, str], int] = {}
    for frame in feed.frames:
        if not frame.instrument:
            assert frame.sequence == 0
            continue
        key = frame.session, frame.instrument
        assert frame.sequence == last.get(key, 0) + 1
        last[key] = frame.sequence


async def test_the_feed_holds_what_the_venue_sent_byte_for_byte(tmp_path: Path) -> None:
    truth, feed = tmp_path / "truth.jsonl", MemoryFeed()
    async with (
        Exchange(Config(**LIVELY, truth=truth)) as venue,
        ingesting(venue.url, feed) as ingest,
    ):
        await feed.until(lambda: len(book_data(feed, BTC)) > 20 and len(ingest.instruments) == 4)
        assert ingest.simulated is True
        assert ingest.session == feed.frames[-1].session
    check_sequences(feed)
    sent = {line.split(" ", 1)[1] for line in truth.read_text().splitlines()}
    for instrument in ingest.instruments:
        first, *rest = feed.items(instrument)
        assert isinstance(first, Connected)
        assert first.simulated
        assert rest[-1] == Disconnected(rest[-1].received_ns, "stopped")
        data = book_data(feed, instrument)
        assert data[0]["type"] == "snapshot"
        for before, after in itertools.pairwise(data):
            assert after["prev_change_id"] == before["change_id"]
        changes = [
            item.message.decode()
            for item in feed.items(instrument, Notification)
            if b'"channel":"book.' in item.message and b'"change"' in item.message
        ]
        assert set(changes) <= sent
    for key, _, partition in feed.records:
        assert not key or partition == partition_of(key.decode())


async def test_ticks_go_to_each_owned_partition_about_once_a_second() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**LIVELY)) as venue, ingesting(venue.url, feed) as ingest:
        ingest.assign({0, 1})
        started = time.monotonic()
        await feed.until(lambda: len(feed.items("", Tick)) >= 6)
        assert time.monotonic() - started > 1.5
    ticks = [
        (partition, frame.items[0])
        for (key, _, partition), frame in zip(feed.records, feed.frames, strict=True)
        if not key
    ]
    assert {partition for partition, _ in ticks} == {0, 1}
    clock = [tick.venue_ms for partition, tick in ticks if partition == 0]
    assert clock == sorted(clock)
    assert abs(clock[-1] - time.time() * 1000) < 10_000


async def test_a_gap_is_marked_in_its_place_and_healed_by_a_snapshot() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**LIVELY)) as venue, ingesting(venue.url, feed) as ingest:
        await feed.until(lambda: len(book_data(feed, BTC)) > 3 and len(book_data(feed, ETH)) > 3)
        venue.skip_next(f"book.{BTC}.100ms")
        await feed.until(lambda: feed.items(BTC, GapFound))
        seen = len(book_data(feed, BTC))
        await feed.until(lambda: len(book_data(feed, BTC)) > seen + 2)
        assert ingest.counts.gaps == 1
    items = feed.items(BTC, (Notification, GapFound))
    at = next(n for n, item in enumerate(items) if isinstance(item, GapFound))
    books = data_of(items[:at], f"book.{BTC}.100ms")
    after = data_of(items[at + 1 :], f"book.{BTC}.100ms")
    mark = items[at]
    assert mark.channel == f"book.{BTC}.100ms"
    assert mark.expected == books[-1]["change_id"]
    assert mark.found not in (None, mark.expected)
    assert after[0]["type"] == "snapshot"
    assert feed.items(ETH, GapFound) == []
    assert [data["type"] for data in book_data(feed, ETH)].count("snapshot") == 1
    check_sequences(feed)


async def test_a_lost_connection_is_marked_and_a_new_session_begins() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**LIVELY)) as venue, ingesting(venue.url, feed) as ingest:
        await feed.until(lambda: book_data(feed, BTC) and book_data(feed, ETH))
        venue.drop_connections()
        await feed.until(lambda: len(feed.items(BTC, Connected)) == 2)
        await feed.until(lambda: len(feed.items(ETH, Connected)) == 2)
        assert ingest.counts.sessions == 2
    for instrument in (BTC, ETH):
        marks = feed.items(instrument, (Connected, Disconnected))
        assert [type(mark) for mark in marks] == [Connected, Disconnected] * 2
        assert marks[1].reason == "reset"
    assert len({frame.session for frame in feed.frames}) == 2
    check_sequences(feed)


async def test_what_the_venue_does_not_list_is_said_and_the_others_flow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    feed = MemoryFeed()
    wanted = [BTC, "NOBODY-PERPETUAL"]
    async with (
        Exchange(Config(**LIVELY)) as venue,
        ingesting(venue.url, feed, instruments=wanted, kinds=("book",)) as ingest,
    ):
        await feed.until(lambda: book_data(feed, BTC))
        await feed.until(lambda: ingest.knows_listing)
        [why] = ingest.wanted.refused().values()
        assert why.startswith("NOBODY-PERPETUAL is not among the 4 open futures")
        assert ingest.troubles() == [why]
        assert ingest.awaited() == [BTC]
        assert ingest.rejected == {}
        assert {frame.instrument for frame in feed.frames} <= {BTC, ""}
    assert caplog.text.count(why) == 1


async def test_assignment_moves_subscriptions_with_their_partitions() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**LIVELY)) as venue, ingesting(venue.url, feed) as ingest:
        ingest.assign({0})
        await feed.until(lambda: len(book_data(feed, BTC)) > 2)
        assert {frame.instrument for frame in feed.frames} == {BTC, ""}
        await ingest.assign({1})
        assert feed.items(BTC)[-1].reason == "moved"
        await feed.until(lambda: len(book_data(feed, ETH)) > 2)
        assert isinstance(feed.items(BTC)[-1], Disconnected)
        ingest.assign({0, 1})
        await feed.until(lambda: len(feed.items(BTC, Connected)) == 2)
        await feed.until(lambda: isinstance(feed.items(BTC)[-1], Notification))
    types = [data["type"] for data in book_data(feed, BTC)]
    assert types.count("snapshot") == 2
    assert len(feed.items(ETH, Connected)) == 1
    check_sequences(feed)


async def test_overrides_add_and_remove_single_instruments() -> None:
    feed = MemoryFeed()
    async with (
        Exchange(Config(**LIVELY)) as venue,
        ingesting(venue.url, feed, instruments=[BTC]) as ingest,
    ):
        await feed.until(lambda: book_data(feed, BTC))
        ingest.override(ETH, True)
        await feed.until(lambda: book_data(feed, ETH))
        ingest.override(BTC, False)
        await feed.until(lambda: feed.items(BTC, Disconnected))
        assert feed.items(BTC)[-1].reason == "unsubscribed"
        ingest.override(BTC, None)
        assert ingest.wanted.instruments() == [BTC, ETH]
        ingest.override("book.evil", True)  # as an earlier release may have stored it
        assert ingest.wanted.instruments() == [BTC, ETH]
        assert "'book.evil' is not served: it is no instrument name" in ingest.troubles()[0]


async def test_a_resync_on_request_is_of_this_session_only() -> None:
    feed = MemoryFeed()
    async with (
        Exchange(Config(**LIVELY)) as venue,
        ingesting(venue.url, feed, instruments=[BTC]) as ingest,
    ):
        await feed.until(lambda: book_data(feed, BTC))
        assert ingest.session is not None
        assert not ingest.resync(BTC, "an older one")
        assert not ingest.resync(ETH, ingest.session)
        assert ingest.resync(BTC, ingest.session)
        await feed.until(lambda: [d["type"] for d in book_data(feed, BTC)].count("snapshot") == 2)
    (mark,) = feed.items(BTC, GapFound)
    assert (mark.channel, mark.found) == (f"book.{BTC}.100ms", None)


async def test_raw_without_credentials_falls_back_in_every_session_and_everything_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    feed = MemoryFeed()
    async with (
        Exchange(Config(**LIVELY)) as venue,
        ingesting(venue.url, feed, instruments=[BTC], book_interval="raw") as ingest,
    ):
        await feed.until(lambda: len(book_data(feed, BTC)) > 2)
        venue.drop_connections()
        await feed.until(lambda: len(feed.items(BTC, Connected)) == 2)
        seen = len(book_data(feed, BTC))
        await feed.until(lambda: len(book_data(feed, BTC)) > seen + 2)
        assert ingest.counts.errors == {13778: 2}
        # Never both of one instrument.
        assert [name for name in venue.hub.live if name.startswith(f"book.{BTC}.")] == [
            f"book.{BTC}.100ms"
        ]
        assert ingest.connections[0].status()["raw_fell_back_to_100ms"] is True
        assert ingest.troubles() == [
            "the venue gives raw only with an API key: 100ms is followed instead"
        ]
    assert sum("followed at 100ms instead" in line for line in caplog.messages) == 1
    assert {frame.channel for frame in feed.frames if frame.instrument} == {f"book.{BTC}.100ms"}
    assert [data["type"] for data in book_data(feed, BTC)].count("snapshot") == 2


async def test_raw_with_credentials() -> None:
    feed = MemoryFeed()
    key = {"credentials": Credentials("demo", "demo-secret")}
    async with (
        Exchange(Config(**LIVELY)) as venue,
        ingesting(venue.url, feed, instruments=[BTC], book_interval="raw", client=key) as ingest,
    ):
        await feed.until(lambda: len(book_data(feed, BTC, "raw")) > 5)
        assert [name for name in venue.hub.live if name.startswith(f"book.{BTC}.")] == [
            f"book.{BTC}.raw"
        ]
        assert ingest.troubles() == []
    channels = {frame.channel for frame in feed.frames if frame.instrument}
    assert channels == {f"book.{BTC}.raw"}


async def test_with_credentials_100ms_is_followed_unless_raw_was_asked_for() -> None:
    feed = MemoryFeed()
    key = {"credentials": Credentials("demo", "demo-secret")}
    async with (
        Exchange(Config(**LIVELY)) as venue,
        ingesting(venue.url, feed, instruments=[BTC], client=key) as ingest,
    ):
        await feed.until(lambda: book_data(feed, BTC))
        assert not [name for name in venue.hub.live if name.endswith(".raw")]
        ingest.override(BTC, None, book_interval="raw")
        await feed.until(lambda: book_data(feed, BTC, "raw"))
        assert [name for name in venue.hub.live if name.startswith(f"book.{BTC}.")] == [
            f"book.{BTC}.raw"
        ]


async def test_wrong_credentials_crash_the_service_with_what_to_do() -> None:
    feed = MemoryFeed()
    key = {"credentials": Credentials("demo", "wrong")}
    async with (
        Exchange(Config(**LIVELY)) as venue,
        ingesting(venue.url, feed, client=key) as ingest,
    ):
        async with asyncio.timeout(PATIENCE_S):
            await ingest._crashed.wait()
        assert isinstance(ingest.crash_reason, VenueRefused)
        said = str(ingest.crash_reason)
        for word in ("13004", "STEELYARD_CLIENT_ID", "STEELYARD_CLIENT_SECRET_FILE", "clock"):
            assert word in said
        assert ingest.crash_reason.exit_code == 2


async def test_what_is_not_understood_goes_to_refused_and_nothing_else_stops() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**LIVELY)) as venue, ingesting(venue.url, feed) as ingest:
        await feed.until(lambda: book_data(feed, BTC))
        venue.hub.inject(None, '{"jsonrpc":"2.0","method":"subscription","params":{"data":NaN}}')
        await feed.until(lambda: feed.refused)
        seen = len(book_data(feed, BTC))
        await feed.until(lambda: len(book_data(feed, BTC)) > seen + 2)
        assert ingest.counts.unreadable == 1
        assert ingest.counts.gaps == 0
    (refused,) = feed.refused
    assert "NaN" in refused["message"]
    assert refused["session"] == feed.frames[0].session
    assert refused["offset"] is None


async def test_slow_kafka_is_waited_for_and_what_does_not_fit_is_marked() -> None:
    feed = MemoryFeed()
    async with (
        Exchange(Config(**LIVELY)) as venue,
        ingesting(venue.url, feed, client={"queue_max_messages": 20}) as ingest,
    ):
        await feed.until(lambda: len(book_data(feed, BTC)) > 2)
        feed.open.clear()
        async with asyncio.timeout(PATIENCE_S):
            while ingest.client.counts.overflowed < 3:
                await asyncio.sleep(0.02)
        waiting = ingest.waiting()
        assert 20 <= waiting.messages <= 20 + 3 * len(ingest.instruments)
        assert waiting.frames > 0, "what is being handed over"
        assert waiting.oldest_s > 0
        feed.open.set()
        await feed.until(lambda: any(feed.items(name, GapFound) for name in ingest.instruments))
        name = next(name for name in ingest.instruments if feed.items(name, GapFound))
        snapshots = [data["type"] for data in book_data(feed, name)].count("snapshot")
        await feed.until(
            lambda: [d["type"] for d in book_data(feed, name)].count("snapshot") > snapshots
        )
    check_sequences(feed)


async def test_frames_in_flight_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.ingest.publisher.MAX_FRAMES_IN_FLIGHT", 5)
    feed = MemoryFeed()
    feed.acknowledges = False
    async with Exchange(Config(**LIVELY)) as venue, ingesting(venue.url, feed) as ingest:
        await feed.until(lambda: len(feed.records) >= 6)
        assert ingest.waiting().frames >= 6
        for future in feed.unacknowledged[:3]:
            future.set_result(None)
        appends = len(feed.unacknowledged)
        await feed.until(lambda: len(feed.unacknowledged) > appends)
        assert 5 < feed.most_unacknowledged <= 5 + feed.largest_append
        feed.acknowledges = True
        for future in feed.unacknowledged:
            if not future.done():
                future.set_result(None)


async def test_a_record_that_kafka_refuses_crashes_the_service() -> None:
    feed = MemoryFeed()
    feed.acknowledges = False
    async with Exchange(Config(**LIVELY)) as venue, ingesting(venue.url, feed) as ingest:
        await feed.until(lambda: feed.unacknowledged)
        feed.unacknowledged[0].set_exception(OSError("record too large"))
        async with asyncio.timeout(PATIENCE_S):
            await ingest._crashed.wait()
        assert "record too large" in str(ingest.crash_reason)
        for future in feed.unacknowledged[1:]:
            future.cancel()


async def test_stop_publishes_the_last_marks_and_takes_less_than_3_s() -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**LIVELY)) as venue, ingesting(venue.url, feed) as ingest:
        await feed.until(lambda: book_data(feed, BTC))
        started = time.monotonic()
        await ingest.stop()
        assert time.monotonic() - started < 3
    for instrument in {frame.instrument for frame in feed.frames} - {""}:
        assert isinstance(feed.items(instrument)[-1], Disconnected)


async def test_stop_is_bounded_when_kafka_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    feed = MemoryFeed()
    async with Exchange(Config(**LIVELY)) as venue, ingesting(venue.url, feed) as ingest:
        await feed.until(lambda: book_data(feed, BTC))
        feed.open.clear()
        started = time.monotonic()
        await ingest.stop()
        assert time.monotonic() - started < 4
    assert "stopped before the last frames were published" in caplog.text


async def test_a_state_is_logged_once_however_often_connecting_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "steelyard.ingest")
    async with ingesting("ws://127.0.0.1:9/ws/api/v2", MemoryFeed()) as ingest:
        async with asyncio.timeout(PATIENCE_S):
            while ingest.client.counts.disconnects["not_connected"] < 5:
                await asyncio.sleep(0.02)
    assert sum("not connected" in record.getMessage() for record in caplog.records) == 1


async def test_what_was_followed_before_and_is_not_wanted_any_more_is_given_up_once() -> None:
    feed = MemoryFeed()

    def followed() -> list[str]:
        return [BTC, ETH, "GONE-PERPETUAL"]

    async with (
        Exchange(Config(**LIVELY)) as venue,
        ingesting(venue.url, feed, instruments=[BTC], followed_before=followed) as ingest,
    ):
        await feed.until(lambda: feed.items("GONE-PERPETUAL", Disconnected))
        ingest.assign(range(PARTITIONS))  # as after a rebalance
        await feed.until(lambda: len(book_data(feed, BTC)) > 5)
        assert feed.items(BTC, Disconnected) == []
        for name, reason in ((ETH, "unsubscribed"), ("GONE-PERPETUAL", "delisted")):
            items = feed.items(name)
            assert [type(item) for item in items] == [Connected, Disconnected]
            assert items[-1].reason == reason
    check_sequences(feed)


@pytest.mark.parametrize(("delay_ms", "is_collected"), [(0.0, False), (5_000.0, True)])
async def test_a_worker_that_is_behind_gets_fewer_and_fuller_frames(
    delay_ms: float, is_collected: bool
) -> None:
    feed = MemoryFeed()
    busy = Config(seed=7, instruments=4, rate=300.0)  # of each a change in 10 ms, most times
    options = {"linger_ms": 1, "delay_ms": lambda: delay_ms}
    async with Exchange(busy) as venue, ingesting(venue.url, feed, **options):
        await feed.until(lambda: len(book_data(feed, BTC)) > 150)
    sizes = [
        sum(isinstance(item, Notification) and b"book." in item.message for item in frame.items)
        for frame in feed.frames
        if frame.instrument == BTC
    ]
    usual = statistics.median(sizes[3:])
    assert (usual >= 4) is is_collected, sizes
