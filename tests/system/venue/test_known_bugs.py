"""The 21 bugs that public clients of this venue have or had, one test each.

All run against the simulated exchange over a real websocket, with the product's own client, ingest
and processors (rig.py).
"""

from __future__ import annotations

import asyncio
import itertools
import random
from decimal import Decimal

import pytest

from deribit import events
from deribit.auth import Credentials, Grant
from deribit.backoff import Backoff
from deribit.client import Client
from exchange import Config, Exchange
from models.frame import GapFound, Notification
from tests.system.venue.rig import BTC, ETH, PATIENCE_S, decimals, rig

FAST = {"speed": 5.0}  # venue time, so that windows close sooner
DEMO = Credentials("demo", "demo-secret")


async def test_01_no_reset_on_new_snapshot() -> None:
    """What was deleted while we did not listen must not live on as a ghost level."""
    async with rig() as bench:
        await bench.ready(bench.is_live)
        bench.halt(BTC)
        await bench.still()
        before = bench.processors[BTC].instrument.book
        ghosts = [price for price, _ in before.bids.levels()][:20]
        async with bench.away() as book:
            for price, lots in book.bids.top(20):
                book.cancel(1, price, lots)
        after = {price for price, _ in bench.processors[BTC].instrument.book.bids.levels()}
        assert not after & set(ghosts)


async def test_02_gap_ignored() -> None:
    """After a lost change nothing is served as live until the next snapshot."""
    async with rig(**FAST) as bench:
        await bench.ready(bench.is_live)
        bench.venue.fault("gap", instrument_name=BTC)
        await bench.ready(lambda: bench.marks(GapFound) and bench.is_live())
        assert bench.statuses[BTC][-2:] == ["gap", "live"]
        await bench.settles()
        await bench.ready(lambda: any(w["gaps"] == 1 for w in bench.windows_of()))
    (flagged,) = [window for window in bench.windows_of() if window["gaps"]]
    assert flagged["status"] == "gap"
    assert flagged["coverage"] < 1


async def test_03_gap_leads_to_global_reconnect_storm() -> None:
    """A gap restarts its own book; no other instrument and no connection is touched."""
    async with rig(instruments=6, rate=40.0) as bench:
        await bench.ready(bench.is_live)
        bench.statuses.clear()
        bench.venue.fault("gap", instrument_name=BTC)
        await bench.ready(lambda: bench.marks(GapFound) and bench.is_live())
        assert bench.connections == 1
        others = [market.instrument.name for market in bench.markets[1:]]
        assert [bench.breaks(name) for name in others] == [0] * 5
        assert {said for name in others for said in bench.statuses.get(name, [])} <= {"live"}


async def test_04_resync_storm_hits_10028() -> None:
    """Many books that break at once are restarted in few calls, within the venue's credits."""
    async with rig(instruments=40, rate=300.0) as bench:
        await bench.ready(bench.is_live)
        for _ in range(3):
            seen = len(bench.venue.protocol.calls)
            broken = {
                market.instrument.name: bench.breaks(market.instrument.name)
                for market in bench.markets[:30]
            }
            for name in broken:
                bench.venue.fault("gap", instrument_name=name)
            await bench.ready(
                lambda broken=broken: (
                    all(bench.breaks(name) > n for name, n in broken.items()) and bench.is_live()
                )
            )
            subscribes = bench.calls("/subscribe", since=seen)
            assert sum(call.channels for call in subscribes) >= 30
            assert len(subscribes) <= 15
        assert bench.connections == 1
        assert {call.code for call in bench.calls()} == {0}


async def test_05_duplicate_subscribe_waits_forever_for_a_snapshot() -> None:
    """A second subscribe brings no snapshot: a book is unsubscribed first, and the ack awaited."""
    async with rig() as bench:
        await bench.ready(bench.is_live)
        seen = len(bench.venue.protocol.calls)
        assert bench.ingest.resync(BTC, bench.processors[BTC].session)
        await bench.ready(lambda: bench.marks(GapFound) and bench.is_live())
        methods = [call.method for call in bench.calls("subscribe", since=seen)]
        assert methods == ["public/unsubscribe", "public/subscribe"]
        await bench.settles()


async def test_06_ack_not_compared_with_request() -> None:
    """A channel that the venue drops from its ack without a word is known to be missing."""
    wanted = [BTC, "NOBODY-PERPETUAL"]
    async with rig(ingest={"instruments": wanted, "kinds": ("book",)}) as bench:
        await bench.ready(lambda: bench.is_live(BTC))
        await bench.ready(lambda: bench.ingest.knows_listing)
        assert list(bench.ingest.wanted.refused()) == ["NOBODY-PERPETUAL"]
        assert bench.status("NOBODY-PERPETUAL") == "unknown"


@pytest.mark.parametrize("code", [10040, 10041, 10047, 11094, 13028, 13888])
async def test_07_error_frames_swallowed(code: int) -> None:
    """A subscribe that fails is counted, said, and made again."""
    async with rig(instruments=1, rate=8.0) as bench:
        bench.venue.fault("error", code=code, method="public/subscribe", count=2)
        await bench.ready(bench.is_live)
        assert bench.ingest.counts.errors == {code: 2}


async def test_08_subscribe_races_login() -> None:
    """Nothing is subscribed before the login is answered, however long that takes."""
    client = {"credentials": DEMO, "request_timeout_s": 0.5}
    async with rig(client=client, ingest={"book_interval": "raw"}) as bench:
        await bench.ready(bench.is_live)
        bench.venue.fault("no_answer", method="public/auth")
        bench.venue.drop_connections()
        await bench.ready(lambda: bench.connections == 3 and bench.is_live())
        by_connection = {
            number: [call.method for call in bench.calls() if call.connection == number]
            for number in (1, 2, 3)
        }
        assert not any("subscribe" in method for method in by_connection[2])
        for number in (1, 3):
            made = by_connection[number]
            assert made.index("public/auth") < made.index("private/subscribe")
        assert 13778 not in bench.ingest.counts.errors


async def test_09_stale_signature_on_reconnect() -> None:
    """Every connection signs anew: the venue takes no nonce twice and no old time."""
    key = Credentials("demo", "demo-secret", Grant.CLIENT_SIGNATURE)
    async with rig(client={"credentials": key}, ingest={"book_interval": "raw"}) as bench:
        for number in (1, 2, 3):
            await bench.ready(lambda n=number: bench.connections == n and bench.is_live())
            bench.venue.drop_connections()
        logins = bench.calls("public/auth")
        assert [login.code for login in logins[:3]] == [0, 0, 0]


class Highest(random.Random):
    """Draws the longest wait each time, so that waits can be told."""

    def uniform(self, a: float, b: float) -> float:
        return b


async def test_10_backoff_reset_too_early_uncapped_or_without_jitter() -> None:
    """Waits double up to a cap and start anew only after a healthy time, not with a connection."""
    backoff = Backoff(first_s=0.05, cap_s=0.4, floor_s=0.02, healthy_s=30.0)
    async with rig(client={"backoff": backoff, "rng": Highest()}) as bench:
        await bench.ready(bench.is_live)
        bench.venue.fault("error", code=11094, method="public/hello", count=3)
        bench.venue.fault("refuse_connections", status=503, count=2)
        bench.venue.drop_connections()
        await bench.ready(lambda: len(bench.venue.handshakes) >= 7 and bench.is_live())
        times = [handshake.at_s for handshake in bench.venue.handshakes]
        waits = [after - before for before, after in itertools.pairwise(times)][1:]
    # Two refused, then three let in whose greeting fails: the count goes on through both.
    for wait_s, least_s in zip(waits, (0.1, 0.2, 0.4, 0.4, 0.4), strict=True):
        assert wait_s >= least_s
    draws = {Backoff().wait_s(3, random.Random(seed)) for seed in range(20)}
    assert len(draws) == 20


async def test_11_stale_timer_counts_heartbeats_wrongly() -> None:
    """Heartbeats are no data: without any a busy book is stale. And a still book is not dead."""
    async with rig(heartbeat_scale=0.1) as bench:
        await bench.ready(bench.is_live)
        await bench.learned()
        bench.venue.fault("mute")
        bench.halt(ETH)
        await bench.ready(lambda: bench.status() == "stale")
        assert bench.connections == 1
        bench.venue.fault("calm")
        await bench.ready(lambda: bench.is_live(BTC))
        assert bench.connections == 1
        assert bench.breaks(ETH) == 0


async def test_12_test_request_unanswered_because_consumer_is_blocked() -> None:
    """With Kafka standing still and the queue full, heartbeats are answered all the same."""
    client = {"queue_max_messages": 20}
    async with rig(client=client, heartbeat_scale=0.1) as bench:
        await bench.ready(bench.is_live)
        bench.open.clear()
        await bench.ready(lambda: bench.ingest.client.counts.overflowed > 5)
        seen = len(bench.venue.protocol.calls)
        # The venue asks each second, and closes 1 s after a question without an answer.
        await bench.ready(lambda: len(bench.calls("public/test", since=seen)) >= 6)
        assert bench.connections == 1
        bench.open.set()
        await bench.ready(bench.is_live)
        await bench.settles()
        assert bench.connections == 1


async def test_13_unknown_delete() -> None:
    """A delete of a level that we do not have changes nothing and breaks nothing."""
    async with rig() as bench:
        await bench.ready(bench.is_live)
        bench.halt(BTC)
        await bench.still()
        book = bench.processors[BTC].instrument.book
        levels = [list(side.levels()) for side in (book.bids, book.asks)]
        told = bench.say(bids='[["delete",0.5,0.0]]', asks='[["delete",9e5,0]]')
        await bench.ready(lambda: book.change_id == told)
        assert [list(side.levels()) for side in (book.bids, book.asks)] == levels
        assert bench.status() == "live"
        assert not bench.refused_by


async def test_14_null_or_zero_best_prices() -> None:
    """Tickers and quotes of an empty side are taken as they are."""
    kinds = ("book", "ticker", "quote")
    async with rig(ingest={"kinds": kinds}) as bench:
        await bench.ready(bench.is_live)
        now = bench.venue.venue.now_us() // 1_000
        for empty in ("null", "0", "0.0"):
            best = ",".join(
                f'"best_{side}_{what}":{empty}'
                for side in ("bid", "ask")
                for what in ("price", "amount")
            )
            data = f'{{"timestamp":{now},"instrument_name":"{BTC}",{best}}}'
            bench.tell(f"ticker.{BTC}.100ms", data)
            bench.tell(f"quote.{BTC}", data)
        marked = f'{{"timestamp":{now},"instrument_name":"{BTC}","mark_price":1.0}}'
        bench.tell(f"ticker.{BTC}.100ms", marked)
        heard = len(bench.items(BTC, Notification))
        await bench.ready(lambda: len(bench.items(BTC, Notification)) > heard + 10)
        assert not bench.refused_by
        assert bench.is_live()


async def test_15_numbers_as_text_keys() -> None:
    """83900.0, 8.39e4 and 83900 are one level."""
    async with rig() as bench:
        await bench.ready(bench.is_live)
        bench.halt(BTC)
        await bench.still()
        book = bench.processors[BTC].instrument.book
        before = len(book.asks)
        for price, amount in (("183900.0", "1.0e1"), ("1.839e5", "2e1"), ("183900", "30")):
            told = bench.say(asks=f'[["new",{price},{amount}]]')
            await bench.ready(lambda told=told: book.change_id == told)
            assert len(book.asks) == before + 1
        assert decimals(book.asks.levels())[Decimal(183900)] == 30
        told = bench.say(asks='[["delete",1.8390e5,0.0]]')
        await bench.ready(lambda: book.change_id == told)
        assert len(book.asks) == before


async def test_16_state_keyed_by_instrument_instead_of_channel() -> None:
    """Two intervals of one instrument are two chains, and neither disturbs the other."""
    channels = [f"book.{BTC}.100ms", f"book.{BTC}.agg2"]
    async with Exchange(Config(instruments=1, rate=8.0, speed=5.0)) as venue:
        client = Client(venue.url, "worker-1")
        client.want(channels)
        running = asyncio.create_task(client.run())
        heard: list[events.Event] = []
        last: dict[str, int] = dict.fromkeys(channels, 0)
        async with asyncio.timeout(PATIENCE_S):
            while min(last.values()) < 6:
                heard += [event for _, event in await client.receive()]
                for event in heard:
                    if isinstance(event, events.Notification):
                        last[event.channel] += 1
        await client.close()
        await running
    assert not [event for event in heard if isinstance(event, events.GapFound)]
    assert not any(e.is_duplicate for e in heard if isinstance(e, events.Notification))


async def test_17_units_of_inverse_and_linear_instruments() -> None:
    """Amounts are USD of inverse perpetuals and the base coin of linear ones, never contracts."""
    linear = "BTC_USDC-PERPETUAL"
    async with rig(**FAST) as bench:
        await bench.ready(bench.is_live)
        bench.halt()
        for name in (BTC, linear):
            await bench.still(name)
            await bench.ticks(8, name)
    for name in (BTC, linear):
        (price, size), *_ = bench.processors[name].instrument.book.bids.levels()
        ((price, size),) = decimals([(price, size)]).items()
        usd = float(size * price) if name == linear else float(size)
        last = bench.windows_of(name)[-1]
        assert last["status"] == "complete"
        assert last["bid_depth_1_usd_mean"] == pytest.approx(usd, rel=1e-12)


async def test_18_future_and_stale_timestamps() -> None:
    """A stamp far in the future is refused whole; a snapshot may be older than the clock."""
    async with rig() as bench:
        await bench.ready(bench.is_live)
        bench.halt(BTC)
        await bench.still()
        instrument = bench.processors[BTC].instrument
        before = (instrument.book.change_id, len(instrument.book.bids))
        now = bench.venue.venue.now_us() // 1_000
        bench.say(timestamp=str(now + 3_600_000), bids='[["new",1.0,5.0]]')
        await bench.ready(lambda: bench.refused_by)
        assert (instrument.book.change_id, len(instrument.book.bids)) == before
        assert instrument.clock_ms < now + 60_000
        # The book stands still: the snapshot of a resync is stamped with its last change.
        assert bench.ingest.resync(BTC, bench.processors[BTC].session)
        await bench.ready(lambda: bench.marks(GapFound) and bench.is_live(BTC))
        assert bench.agrees()


async def test_19_pending_requests_survive_a_disconnect() -> None:
    """A call that was never answered is forgotten with its connection, and made on the next."""
    async with rig() as bench:
        bench.venue.fault("no_answer", method="public/subscribe")
        await bench.ready(lambda: bench.calls("public/subscribe"))
        assert bench.calls("public/subscribe")[0].code is None
        bench.venue.drop_connections()
        await bench.ready(bench.is_live)
        assert bench.connections == 2


async def test_20_subscribe_above_32_kb() -> None:
    """1,250 channels, 35 kB of names, are asked for in calls that the venue takes."""
    kinds = ("book", "trades", "ticker", "perpetual", "quote")
    async with rig(instruments=250, rate=50.0, ingest={"kinds": kinds}) as bench:
        await bench.ready(bench.is_live)
        wanted = bench.ingest.wanted.channels()
        assert sum(map(len, wanted)) > 32_768
        await bench.ready(lambda: wanted.keys() <= bench.venue.hub.live.keys())
        calls = bench.calls("public/subscribe")
        assert {call.code for call in calls} == {0}
        assert max(call.channels for call in calls) <= 500
        assert bench.connections == 1


async def test_21_reconnect_straddles_a_window() -> None:
    """The window is flagged, and no flow is made of the difference between two sessions."""
    async with rig(**FAST) as bench:
        await bench.ready(bench.is_live)
        bench.halt()
        await bench.still()
        await bench.ticks(5)
        seen = len(bench.windows_of())
        async with bench.away() as book:
            book.limit(1, book.bids.best, 1_000)
        await bench.ready(lambda: len(bench.windows_of()) > seen + 25)
    windows = bench.windows_of()[seen:]
    flagged = [window for window in windows if window["reconnects"]]
    assert [window["status"] for window in flagged] == ["reconnect"]
    assert flagged[0]["coverage"] < 1
    # The best bid has grown by 1,000 lots; who compares across the break makes 10,000 USD of it.
    assert {window["ofi_usd"] for window in windows} <= {0.0, None}
    assert windows[-1]["status"] == "complete"
    assert windows[-1]["mid_close"] is not None
