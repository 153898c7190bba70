"""Every channel of the venue reaches what it is about, and instruments come and go as it says."""

from __future__ import annotations

import json
from typing import Any

from models.frame import Described, Disconnected, Notification
from tests.system.venue.rig import BTC, ETH, Rig, rig

ALL = (
    "book",
    "trades",
    "ticker",
    "quote",
    "perpetual",
    "book.none.10",
    "instrument.state",
    "platform_state",
)
LIVELY = {"instruments": 3, "rate": 30.0}


def channels_of(bench: Rig, name: str) -> set[str]:
    messages = [json.loads(item.message) for item in bench.items(name, Notification)]
    return {message["params"]["channel"] for message in messages}


def told(bench: Rig, name: str = BTC) -> Any:
    return bench.processors[name].market_status


async def test_all_channels_are_followed_and_audit_the_book() -> None:
    async with rig(ingest={"kinds": ALL}, **LIVELY) as bench:
        wanted = {f"{kind}.{BTC}.100ms" for kind in ("book", "trades", "ticker", "perpetual")}
        wanted |= {f"quote.{BTC}", f"book.{BTC}.none.10.100ms", "platform_state"}
        await bench.ready(lambda: channels_of(bench, BTC) >= wanted)
        audit = bench.processors[BTC].audit
        await bench.ready(lambda: audit.agreed > 20)
        assert audit.failed == 0
        assert told(bench).state == "open"
        assert told(bench).platform == "open"
        assert told(bench).funding is not None
        grouped = told(bench).grouped
        assert len(grouped.bids) == len(grouped.asks) == 10
        assert bench.refused_by == {}
        assert bench.ingest.rejected == {}


async def test_the_venues_list_is_in_the_feed() -> None:
    async with rig(**LIVELY) as bench:
        linear = "BTC_USDC-PERPETUAL"
        await bench.ready(lambda: bench.marks(Described, linear) and bench.marks(Described, BTC))
        assert [mark.linear for mark in bench.marks(Described, BTC)] == [False]
        [mark] = bench.marks(Described, linear)
        assert mark.linear
        assert mark.price_index == "btc_usdc"
        assert [above for above, _ in mark.tick_sizes] == [0.0, 307608.0]
        await bench.ready(lambda: bench.processors[BTC].counts["changes"] > 10)
        assert bench.processors[BTC].counts["off_tick"] == 0


async def test_what_is_listed_while_we_run_is_followed_within_seconds() -> None:
    async with rig(ingest={"kinds": ALL}, **LIVELY) as bench:
        await bench.ready(bench.is_live)
        name = bench.venue.fault("list")
        assert name not in bench.processors
        await bench.ready(lambda: bench.is_live(str(name)))


async def test_a_halted_instrument_says_so_and_stays() -> None:
    async with rig(ingest={"kinds": ALL}, **LIVELY) as bench:
        await bench.ready(bench.is_live)
        bench.venue.fault("set_state", instrument_name=BTC, state="halted")
        await bench.ready(lambda: told(bench).state == "halted")
        calls = len(bench.calls())
        await bench.ready(lambda: bench.calls("get_instruments", since=calls))
        await bench.ticks(2, ETH)
        assert not bench.marks(Disconnected)
        assert told(bench, ETH).state != "halted"


async def test_a_delisted_instrument_is_retired_and_its_windows_end() -> None:
    async with rig(ingest={"kinds": ALL}, **LIVELY) as bench:
        await bench.ready(bench.is_live)
        bench.venue.fault("delist", instrument_name=ETH)
        await bench.ready(lambda: bench.status(ETH) == "retired")
        await bench.ready(lambda: bench.marks(Disconnected, ETH))
        assert [mark.reason for mark in bench.marks(Disconnected, ETH)] == ["delisted"]
        await bench.ticks(4, BTC)
        seen = len(bench.windows_of(ETH))
        await bench.ticks(2, BTC)
        assert len(bench.windows_of(ETH)) == seen
        assert bench.is_live(BTC)


async def test_maintenance_is_told_to_every_instrument_and_its_repetitions_are_dropped() -> None:
    async with rig(ingest={"kinds": ALL}, **LIVELY) as bench:
        await bench.ready(bench.is_live)
        bench.venue.venue.platform.lock(True)
        names = [market.instrument.name for market in bench.markets]
        await bench.ready(
            lambda: all(told(bench, name).platform == "maintenance" for name in names)
        )
        bench.venue.venue.platform.lock(False)
        await bench.ready(lambda: all(told(bench, name).maintenance is False for name in names))
        said = [each for each in bench.items(BTC, Notification) if b"maintenance" in each.message]
        assert len(said) == 2
        dropped = bench.ingest.client.counts.dropped
        await bench.ready(lambda: dropped.repeated > 2)


async def test_what_was_said_before_is_told_to_who_comes_later_once_a_session() -> None:
    async with rig(ingest={"kinds": ALL}, **LIVELY) as bench:
        await bench.ready(bench.is_live)
        name = str(bench.venue.fault("list"))
        await bench.ready(lambda: bench.is_live(name))
        assert told(bench, name).platform == "open", "said before it was listed"
        said = len(platform_messages(bench, name))
        book = bench.processors[name].instrument.channel
        bench.venue.fault("skip", channel=book, count=1)
        await bench.ready(lambda: not bench.is_live(name))
        await bench.ready(lambda: bench.is_live(name))
        assert len(platform_messages(bench, name)) == said, "a resync is no new session"


def platform_messages(bench: Rig, name: str) -> list[bytes]:
    items = bench.items(name, Notification)
    return [item.message for item in items if b'"platform_state"' in item.message]
