"""Faults of the venue and of the way to it: what is noticed, how fast, and that it heals."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from typing import Any

import msgspec
import pytest

from app.ingest.service import VenueRefused
from deribit.auth import Credentials
from deribit.backoff import Backoff
from deribit.requests import REQUEST_TIMEOUT_S
from deribit.venue_clock import PROBE_INTERVAL_S
from exchange.corpus import MALFORMED
from models.frame import Connected, Disconnected
from tests.system.venue.rig import BTC, ETH, PATIENCE_S, Rig, rig

BUSY = {"instruments": 2, "rate": 16.0}
DETECTED_WITHIN_S = 25.0


# Closed and reset


@pytest.mark.parametrize("how", ["cut", "reset", "close"])
async def test_b09_a_lost_connection_is_live_again_within_3_s(how: str) -> None:
    """With the product's own backoff."""
    async with rig(client={"backoff": Backoff()}, speed=5.0) as bench:
        await bench.ready(bench.is_live)
        await bench.ticks()
        seen = len(bench.windows_of())
        bench.venue.fault("disconnect", how=how)
        began = bench.served_s
        await bench.ready(lambda: len(bench.marks(Connected)) == 2 and bench.is_live())
        assert bench.served_s - began < 3.0
        await bench.ready(lambda: any(w["reconnects"] for w in bench.windows_of()[seen:]))
        await bench.settles()
    flagged = [window for window in bench.windows_of() if window["reconnects"]]
    assert [window["status"] for window in flagged] == ["reconnect"]
    (mark,) = bench.marks(Disconnected)[:1]
    assert mark.reason == ("closed" if how == "close" else "reset")


# Open, but useless


async def test_b10_a_half_open_socket_is_stale_within_3_s_and_given_up() -> None:
    async with rig(client={"request_timeout_s": 4.0}, **BUSY) as bench:
        await bench.ready(bench.is_live)
        assert bench.venue.fault("half_open") == 1
        began = bench.served_s
        await bench.ready(lambda: bench.status() == "stale")
        # Something was heard 0.2 s before at the latest; the rest is for what takes its turn.
        assert bench.served_s - began < 3.0 + 0.5
        await bench.ready(lambda: bench.marks(Disconnected))
        assert bench.served_s - began < PROBE_INTERVAL_S + 4.0 + 1.0
        assert bench.marks(Disconnected)[0].reason == "unanswered"
        await bench.ready(lambda: bench.connections == 2 and bench.is_live())
        await bench.settles()
    # The same with the product's own time.
    assert PROBE_INTERVAL_S + REQUEST_TIMEOUT_S < DETECTED_WITHIN_S


async def test_b11_without_data_a_busy_book_is_stale_within_5_s_though_heartbeats_come() -> None:
    async with rig(heartbeat_scale=0.1, **BUSY) as bench:
        await bench.ready(bench.is_live)
        await bench.learned()
        assert bench.is_live()
        seen = len(bench.venue.protocol.calls)
        bench.venue.fault("mute")
        began = bench.served_s
        await bench.ready(lambda: bench.status() == "stale")
        assert bench.served_s - began < 5.0 + 0.5
        assert bench.connections == 1
        bench.venue.fault("calm")
        await bench.ready(lambda: bench.is_live(BTC))
        assert len(bench.calls("public/test", since=seen)) >= 5
        assert bench.connections == 1


# Refused


async def test_b12_too_many_requests_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deribit.vocabulary._LEAST_WAIT_S", {10028: 0.5, 11051: 0.5})
    async with rig(instruments=1, rate=8.0) as bench:
        await bench.ready(bench.is_live)
        for number in (2, 3):
            bench.venue.fault("error", code=10028, method="public/test")
            await bench.ready(lambda n=number: bench.connections == n and bench.is_live())
        assert bench.ingest.counts.errors == {10028: 2}
        assert all(wait_s >= 0.5 for wait_s in waits_after_calls(bench, 10028))


async def test_b12_maintenance_is_waited_for_without_a_hot_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deribit.vocabulary._LEAST_WAIT_S", {11051: 0.3})
    async with rig(instruments=1, rate=8.0) as bench:
        await bench.ready(bench.is_live)
        bench.venue.fault("maintenance")
        began = time.monotonic()
        await bench.ready(lambda: bench.connections >= 4)
        assert bench.connections <= 2 + (time.monotonic() - began) / 0.3
        assert not bench.is_live()
        bench.venue.fault("maintenance", on=False)
        await bench.ready(bench.is_live)
        assert set(bench.ingest.counts.errors) == {11051}
        await bench.settles()


async def test_b12_a_crowded_address_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deribit.socket.CROWDED_WAIT_S", 0.4)
    async with rig(instruments=1, rate=8.0) as bench:
        await bench.ready(bench.is_live)
        bench.venue.fault("refuse_connections", status=429, count=3)
        bench.venue.drop_connections()
        await bench.ready(lambda: bench.connections == 2 and bench.is_live())
        refused = [shake for shake in bench.venue.handshakes if shake.status == 429]
        assert len(refused) == 3
        times = [shake.at_s for shake in bench.venue.handshakes][1:]
        assert all(after - before >= 0.4 for before, after in itertools.pairwise(times))


async def test_b12_a_reconnect_storm_has_a_ceiling() -> None:
    """A venue that cuts whoever has just been served is not asked more often than backoff says."""
    backoff = Backoff(first_s=0.1, cap_s=0.3, floor_s=0.1)
    async with rig(client={"backoff": backoff}, instruments=1, rate=8.0) as bench:
        for number in range(1, 7):
            await bench.ready(lambda n=number: bench.connections == n and bench.is_live())
            bench.venue.drop_connections()
        times = [shake.at_s for shake in bench.venue.handshakes]
        assert all(after - before >= 0.1 for before, after in itertools.pairwise(times))


async def test_b12_raw_falls_back_to_100ms_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "steelyard.ingest")
    async with rig(ingest={"book_interval": "raw"}) as bench:
        await bench.ready(bench.is_live)
        assert bench.ingest.counts.errors == {13778: 1}
        assert not [name for name in bench.venue.hub.live if name.endswith(".raw")]
    assert {frame.channel for frame in bench.frames if frame.instrument == BTC} == {
        f"book.{BTC}.100ms"
    }
    said = [record.getMessage() for record in caplog.records if "100ms" in record.getMessage()]
    assert len(said) == 1
    assert "raw" in said[0]


async def test_b12_a_wrong_secret_stops_ingest_at_once_and_says_which_setting() -> None:
    key = {"credentials": Credentials("demo", "wrong")}
    with pytest.raises(VenueRefused, match="13004"):
        async with rig(client=key) as bench:
            await bench.ready(bench.is_live)
    assert bench.connections == 1


async def test_b12_a_reader_that_was_too_slow_waits_before_it_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deribit.socket.TOO_SLOW_WAIT_S", 0.3)
    async with rig(instruments=1, rate=8.0) as bench:
        await bench.ready(bench.is_live)
        began = time.monotonic()
        bench.venue.fault("too_slow")
        await bench.ready(lambda: bench.connections == 2 and bench.is_live())
        assert bench.venue.handshakes[-1].at_s - began >= 0.3
        assert bench.marks(Disconnected)[0].reason == "connection_too_slow"


def waits_after_calls(bench: Rig, code: int) -> list[float]:
    """Time from each call that ended with that code to the next handshake."""
    shakes = [shake.at_s for shake in bench.venue.handshakes]
    return [
        min(at_s for at_s in shakes if at_s > call.at_s) - call.at_s
        for call in bench.calls()
        if call.code == code
    ]


# Malformed


def image(bench: Rig, name: str = BTC) -> bytes:
    """All that the future of an instrument depends on, but counts and what time alone moves."""
    instrument = bench.processors[name].instrument
    book = instrument.book
    kept = [
        book.change_id,
        book.timestamp_ms,
        list(book.bids.levels()),
        list(book.asks.levels()),
        str(instrument.status),
        bench.processors[name].session,
    ]
    return msgspec.json.encode(kept)


async def test_b13_the_malformed_corpus_is_refused_whole() -> None:
    """Nothing crashes, no book changes, the connection stays, and each is said."""
    kinds = ("book", "trades", "ticker")
    async with rig(ingest={"kinds": kinds}) as bench:
        await bench.ready(bench.is_live)
        bench.halt()
        for name in (BTC, ETH):
            await bench.still(name)
        before = {name: image(bench, name) for name in (BTC, ETH)}
        for name in MALFORMED:
            if name not in UNDERSTOOD_AS_A_BREAK:
                bench.venue.fault("malformed", name=name)
        said = len(MALFORMED) - len(UNDERSTOOD_AS_A_BREAK)
        await bench.ready(lambda: refusals(bench) >= said)
        assert refusals(bench) == said
        assert {name: image(bench, name) for name in (BTC, ETH)} == before
        assert bench.is_live()
        assert bench.connections == 1
    reasons = [refused["reason"] for refused in bench.refused] + list(bench.refused_by)
    assert all(reasons)


UNDERSTOOD_AS_A_BREAK = {"crossed snapshot"}  # applied, found crossed, and restarted


def refusals(bench: Rig) -> int:
    return bench.ingest.counts.unreadable + sum(bench.refused_by.values())


async def test_b13_a_message_of_64_mib_ends_the_session_and_no_more() -> None:
    async with rig(instruments=1, rate=8.0) as bench:
        await bench.ready(bench.is_live)
        bench.venue.fault("huge", mib=64)
        await bench.ready(lambda: bench.connections == 2 and bench.is_live())
        await bench.settles()
        assert len(bench.marks(Disconnected)) == 1


# Well-formed and wrong

WRONG_LEVELS = {
    "negative amount": ('[["new",1.5,-5.0]]', "[]"),
    "zero amount": ('[["new",1.5,0.0]]', "[]"),
    "huge amount": ('[["new",1.5,1e30]]', "[]"),
    "negative price": ('[["new",-1.5,5.0]]', "[]"),
    "zero price": ('[["new",0.0,5.0]]', "[]"),
    "price finer than the finest tick": ('[["new",1.000000001,5.0]]', "[]"),
    "amount finer than the finest lot": ('[["new",1.5,5.000000001]]', "[]"),
}


@pytest.mark.parametrize("levels", WRONG_LEVELS.values(), ids=WRONG_LEVELS.keys())
async def test_b14_levels_that_cannot_be_are_refused_with_their_message(
    levels: tuple[str, str],
) -> None:
    async with rig(instruments=1, rate=8.0) as bench:
        await bench.ready(bench.is_live)
        bench.halt()
        await bench.still()
        before = image(bench)
        # One good level beside the bad one: all or nothing.
        good = '[["new",999999.5,1.0]]'
        bench.say(bids=levels[0], asks=good if levels[1] == "[]" else levels[1])
        await bench.ready(lambda: bench.refused_by)
        assert image(bench) == before


async def test_b14_a_price_off_tick_is_counted() -> None:
    """It is the venue's own word, and a tick can change: the book takes it, the state says so."""
    async with rig(instruments=1, rate=8.0) as bench:
        await bench.ready(bench.is_live)
        bench.halt()
        await bench.still()
        told = bench.say(bids='[["new",1.3,5.0]]')
        await bench.ready(lambda: bench.processors[BTC].instrument.book.change_id == told)
        assert bench.processors[BTC].counts["off_tick"] == 1


async def test_b14_a_level_twice_in_a_snapshot_is_refused() -> None:
    async with rig(instruments=1, rate=8.0) as bench:
        await bench.ready(bench.is_live)
        bench.halt()
        await bench.still()
        before = image(bench)
        twice = '[["new",1.5,1.0],["new",1.50,2.0]]'
        bench.say(type='"snapshot"', prev_change_id=None, bids=twice)
        await bench.ready(lambda: bench.refused_by)
        assert image(bench) == before


async def test_b14_a_crossed_book_is_never_served_as_live() -> None:
    async with rig(instruments=1, rate=8.0) as bench:
        await bench.ready(bench.is_live)
        bench.halt()
        await bench.still()
        bench.statuses.clear()
        best = json.loads(bench.market().chains["100ms"].snapshot())["params"]["data"]["asks"][0][1]
        bench.say(bids=f'[["new",{best + 100},7.0]]')
        await bench.ready(lambda: "gap" in bench.statuses.get(BTC, []))
        assert bench.statuses[BTC][0] != "live"
        await bench.settles()
        book: Any = bench.processors[BTC].instrument.book
        book.check()


# Out of order


async def test_b15_duplicates_disorder_delay_and_ids_that_restart_lower() -> None:
    async with rig(instruments=3, rate=24.0) as bench:
        channel = f"book.{BTC}.100ms"
        await bench.ready(bench.is_live)
        bench.venue.fault("duplicate", channel=channel, count=3)
        await bench.ready(lambda: bench.processors[BTC].counts["duplicate_changes"] == 3)
        assert bench.breaks() == 0
        bench.venue.fault("delay", channel=channel, seconds=0.5)
        await bench.settles()
        assert bench.breaks() == 0
        bench.venue.fault("reorder", channel=channel)
        await bench.ready(lambda: bench.breaks() == 1 and bench.is_live())
        await bench.settles()
        before = bench.processors[BTC].instrument.book.change_id
        assert before is not None
        bench.venue.fault("restart_ids")
        async with asyncio.timeout(PATIENCE_S):
            while (bench.processors[BTC].instrument.book.change_id or before) >= before:
                await asyncio.sleep(0.01)
        await bench.settles()
        assert bench.breaks() == 1
        assert bench.breaks(ETH) == 0
        assert bench.connections == 1
