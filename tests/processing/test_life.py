"""An instrument's life: listed with a unit and ticks, halted, locked, closed, delisted, back."""

from __future__ import annotations

import random
from typing import Any

import pytest

from app.processing.market_status import MAX_LOCKED_INDICES
from app.processing.processor import Processor
from app.processing.state_codec import BooksCodec
from models.frame import Connected, Described, Disconnected, Item
from tests.processing.market import CHANNEL, NAME, RULES, START_MS, Market, message


def platform(**data: Any) -> Item:
    return message("platform_state", data)


def described(linear: bool | None = None, ticks: Any = (), index: str = "btc_usd") -> Described:
    return Described(0, linear, list(ticks), index)


def test_nothing_is_known_until_the_venue_says_it() -> None:
    told = Market().processor.market_status
    assert (told.state, told.platform, told.funding, told.grouped) == (None, None, None, None)


def test_states_come_from_their_channel_and_from_tickers() -> None:
    market = Market()
    market.state(0, "halted")
    assert market.processor.market_status.state == "halted"
    market.ticker(10, state="open")
    assert market.processor.market_status.state == "open"
    market.ticker(20, mark_price=1.0)
    assert market.processor.market_status.state == "open"
    assert market.processor.status == "live"


def test_a_new_session_does_not_inherit_what_was_announced_to_the_last() -> None:
    market = Market()
    market.state(0, "halted")
    market.tell(platform(maintenance=True))
    market.connect()
    told = market.processor.market_status
    assert (told.state, told.platform) == (None, None)


def test_the_platform_is_in_maintenance_locked_or_open() -> None:
    market = Market()
    told = market.processor.market_status
    market.tell(described(), platform(price_index="eth_usd", locked=True))
    assert told.platform == "open"
    market.tell(platform(price_index="btc_usd", locked=True))
    assert told.platform == "locked"
    market.tell(platform(maintenance=True))
    assert told.platform == "maintenance"
    market.tell(platform(maintenance=False), platform(price_index="btc_usd", locked=False))
    assert told.platform == "open"


def test_locked_indices_are_bounded() -> None:
    market = Market()
    market.tell(*(platform(price_index=f"x{n}", locked=True) for n in range(150)))
    assert len(market.processor.market_status.locked) == MAX_LOCKED_INDICES


def test_funding_is_that_of_perpetual_or_of_a_ticker() -> None:
    market = Market()
    market.tell(message(f"perpetual.{NAME}.100ms", {"timestamp": START_MS, "interest": 1.5e-4}))
    assert market.processor.market_status.funding == 1.5e-4
    market.ticker(0, current_funding=-2e-5)
    assert market.processor.market_status.funding == -2e-5


def test_a_grouped_book_is_shown_and_never_measured() -> None:
    market = Market()
    before = market.processor.instrument.to_record()
    grouped = {"timestamp": START_MS, "change_id": 9, "instrument_name": NAME}
    grouped |= {"bids": [[50.0, 1.0]], "asks": [[51.0, 2.0]]}
    market.tell(message(f"book.{NAME}.none.10.100ms", grouped))
    shown = market.processor.market_status.grouped
    assert shown is not None
    assert (shown.bids, shown.asks, shown.change_id) == ([(50.0, 1.0)], [(51.0, 2.0)], 9)
    assert market.processor.instrument.to_record() == before


# Units and ticks


def test_the_venues_list_decides_the_unit_and_not_the_name() -> None:
    market = Market()
    assert not market.processor.instrument.linear
    assert market.tell(described(linear=True)).needs_resync
    assert market.processor.instrument.linear
    assert (market.processor.status, market.processor.instrument.channel) == ("waiting", CHANNEL)
    market.book(0, "snapshot")
    [window] = [w for w in market.tick(4_300).windows if w["length_ms"] == 1_000]
    assert window["bid_depth_1_usd_mean"] == 100.0 * 5.0


def test_a_list_that_says_the_same_or_nothing_changes_nothing() -> None:
    market = Market()
    before = market.processor.instrument.to_record()
    for linear in (False, None):
        assert not market.tell(described(linear)).needs_resync
    assert market.processor.instrument.to_record() == before


def test_prices_off_the_tick_are_counted_and_applied() -> None:
    market = Market()
    market.tell(described(ticks=[(0.0, 0.5)]))
    market.book(10, bid=99.5)
    assert market.processor.counts["off_tick"] == 0
    market.book(20, bid=99.75)
    assert market.processor.counts["off_tick"] == 1
    assert market.processor.status == "live"
    assert market.processor.instrument.book.bids.best() == 9_975_000_000


def test_a_coarser_tick_holds_above_its_price() -> None:
    market = Market()
    market.tell(described(ticks=[(0.0, 0.25), (100.0, 1.0)]))
    for bid, off in ((99.25, 0), (100.0, 0), (100.25, 1), (100.75, 2)):
        market.book(10, "snapshot", bid=bid)
        assert market.processor.counts["off_tick"] == off, bid


@pytest.mark.parametrize("step", [(0.0, 1e-9), (0.0, 1e300), (float("nan"), 1.0), (-1.0, 1.0)])
def test_a_description_that_cannot_be_is_refused(step: tuple[float, float]) -> None:
    market = Market()
    before = market.processor.market_status.to_record()
    [(place, reason, _)] = market.tell(described(True, [step])).refused
    assert (place, reason.partition(":")[0]) == (0, "description")
    assert market.processor.counts["refused"] == 1
    assert market.processor.market_status.to_record() == before


# The end, and a return


def starts(market: Market, *ticks_ms: int) -> list[tuple[int, int]]:
    windows = [window for at_ms in ticks_ms for window in market.tick(at_ms).windows]
    return [(w["length_ms"], (w["start_ms"] - START_MS) // 1_000) for w in windows]


@pytest.mark.parametrize("end", ["closed", "delisted", "unsubscribed"])
def test_windows_end_with_the_instrument(end: str) -> None:
    market = Market()
    market.tick(5_000)  # the clock is at 2 s
    if end == "closed":
        market.state(5_100, end)
    else:
        market.tell(Disconnected(0, end))
    assert market.processor.status == "retired"
    assert market.processor.is_retired
    found = starts(market, *range(6_000, 30_000, 1_000))
    assert found == [(1_000, 1), (1_000, 2), (10_000, 0)]
    record = market.processor.to_record()
    market.tick(60_000)
    assert market.processor.to_record() == record


def test_no_snapshot_is_asked_for_what_has_ended() -> None:
    market = Market()
    market.state(0, "delivered")
    assert not any(market.tick(at_ms).needs_resync for at_ms in range(0, 120_000, 1_000))


def test_an_instrument_that_comes_back_has_windows_again() -> None:
    market = Market()
    market.tick(5_000)
    market.tell(Disconnected(0, "delisted"))
    starts(market, 20_000)
    market.connect()
    market.book(21_000, "snapshot")
    assert market.processor.status == "live"
    assert (1_000, 21) in starts(market, 26_000)


def test_a_halted_instrument_goes_on() -> None:
    market = Market()
    market.state(0, "halted")
    assert not market.processor.is_retired
    assert len(starts(market, 8_000)) == 4


# Recovery


def random_item(drawn: random.Random, market: Market) -> None:
    at_ms = drawn.randrange(60_000)
    match drawn.randrange(10):
        case 0:
            market.book(at_ms, "snapshot", bid=drawn.choice([98.0, 99.0, 100.25]))
        case 1 | 2:
            market.book(at_ms, bid=drawn.choice([98.0, 99.0, 99.5, 100.0]))
        case 3 | 4:
            market.quote(at_ms, bid=drawn.choice([98.0, 99.0, None]), size=drawn.choice([5.0, 0]))
        case 5:
            market.ticker(at_ms, state=drawn.choice(["open", "halted"]), current_funding=1e-5)
        case 6:
            market.state(at_ms, drawn.choice(["open", "closed", "locked"]))
        case 7:
            market.tell(
                platform(price_index=drawn.choice(["btc_usd", "x"]), locked=drawn.random() < 0.5)
            )
        case 8:
            market.tell(described(drawn.choice([None, False, True]), [(0.0, 0.5), (99.0, 1.0)]))
        case _:
            market.tick(at_ms)


def test_a_recovery_at_any_point_changes_nothing() -> None:
    for seed in range(60):
        drawn, other = random.Random(seed), random.Random(seed)
        market, recovered = Market(), Market()
        for _ in range(40):
            random_item(drawn, market)
            codec = BooksCodec(RULES)
            record = codec.dump(NAME.encode(), recovered.processor, 0)
            recovered.processor = codec.load(NAME.encode(), record)
            random_item(other, recovered)
            assert recovered.processor.to_record() == market.processor.to_record(), seed


def test_a_first_session_knows_who_ingests() -> None:
    processor = Processor(NAME, RULES)
    assert processor.status == "waiting"
    market = Market()
    market.tell(Connected(0, "w-2", True))
    assert (market.processor.worker, market.processor.is_simulated) == ("w-2", True)
