import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from exchange.config import MAX_INSTRUMENTS, STEP_US, Config, ConfigError
from exchange.hub import Hub
from exchange.instruments import catalogue
from exchange.model import MAX_STEPS_PER_TURN, Model
from exchange.rates import order_rates
from exchange.truth import Truth

START_MS = 1_700_000_000_000


class Follower:
    """A subscriber without a socket."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    def notify(self, message: bytes, text: bool = True) -> None:
        self.messages.append(message)

    def cut(self) -> None:
        raise AssertionError("nobody cuts this one")

    async def drained(self) -> None:
        return


def produce(path: Path, steps: int, followed: str = "", **settings: Any) -> list[str]:
    """The truth of so many steps."""
    hub = Hub()
    if followed:
        hub.subscribe(followed, Follower())
    settings = {"instruments": 5, "rate": 30, "start_ms": START_MS, **settings}
    with Truth(path) as truth:
        model = Model(Config(**settings), hub, truth)
        for _ in range(steps):
            model.step()
    return path.read_text().splitlines()


def test_the_truth_is_a_function_of_seed_and_venue_time(tmp_path: Path) -> None:
    first = produce(tmp_path / "1", 500)
    with_follower = produce(tmp_path / "2", 500, followed="ticker.BTC-PERPETUAL.100ms")
    longer = produce(tmp_path / "3", 600)
    other_seed = produce(tmp_path / "4", 500, seed=8)
    assert first == with_follower
    assert first == longer[: len(first)]
    assert len(longer) > len(first)
    assert first != other_seed


async def test_the_venues_clock_is_the_wall_clock_however_long_opening_took(tmp_path: Path) -> None:
    with Truth(tmp_path / "truth") as truth:
        model = Model(Config(instruments=4, rate=30), Hub(), truth)
        opened_us = model.now_us()
        time.sleep(0.3)  # as a hundred more instruments would take
        wanted_us = time.time_ns() // 1_000
        running = asyncio.create_task(model.run())
        await asyncio.sleep(0)  # a turn of the loop: as many steps as one may have
        made_up_us = model.now_us() - opened_us
        while model.now_us() < wanted_us - STEP_US:
            await asyncio.sleep(0)
        running.cancel()
    assert made_up_us > (MAX_STEPS_PER_TURN - 1) * STEP_US
    assert model.now_us() <= time.time_ns() // 1_000


def test_an_instrument_opens_the_same_whoever_is_listed_beside_it(tmp_path: Path) -> None:
    def first_line(path: Path, **settings: Any) -> list[str]:
        return [line.partition('"bids"')[2] for line in produce(path, 0, **settings)[:1]]

    alone = first_line(tmp_path / "1", instruments=1)
    assert alone == first_line(tmp_path / "2", instruments=14)
    assert alone != first_line(tmp_path / "3", instruments=1, seed=8)


def test_every_chain_is_contiguous_and_all_rebuild_the_same_book(tmp_path: Path) -> None:
    hub = Hub()
    with Truth(tmp_path / "truth") as truth:
        model = Model(Config(instruments=4, rate=30, start_ms=START_MS), hub, truth)
        for _ in range(1_000):
            model.step()
        finals = {m.instrument.name: m.order_book(10_000) for m in model._markets}
        snapshots = {
            chain.channel: json.loads(chain.snapshot())["params"]["data"]
            for market in model._markets
            for chain in market.chains.values()
        }
    books: dict[str, dict[str, dict[float, float]]] = {}
    ids: dict[str, int] = {}
    at_id: dict[tuple[str, int], set[str]] = {}
    changes = 0
    for line in (tmp_path / "truth").read_text().splitlines():
        stamp, _, text = line.partition(" ")
        assert int(stamp) >= START_MS * 1_000_000
        params = json.loads(text)["params"]
        data, channel = params["data"], params["channel"]
        if not channel.startswith("book."):
            continue
        if data["type"] == "snapshot":
            books[channel] = {"bids": {}, "asks": {}}
        else:
            changes += 1
            assert data["prev_change_id"] == ids[channel]
            assert data["change_id"] > ids[channel]
            assert data["bids"] or data["asks"]
        ids[channel] = data["change_id"]
        for side in ("bids", "asks"):
            levels = books[channel][side]
            for action, price, amount in data[side]:
                assert (action == "new") == (price not in levels)
                assert (action == "delete") == (amount == 0)
                if action == "delete":
                    del levels[price]
                else:
                    levels[price] = amount
        state = json.dumps(books[channel], sort_keys=True)
        at_id.setdefault((data["instrument_name"], data["change_id"]), set()).add(state)
    assert changes > 500
    # Wherever two chains say the same id, they say the same book.
    assert {len(states) for states in at_id.values()} == {1}
    for channel, book in books.items():
        snapshot = snapshots[channel]
        assert snapshot["change_id"] == ids[channel]
        for side in ("bids", "asks"):
            assert {price: amount for _, price, amount in snapshot[side]} == book[side]
    for name, final in finals.items():
        raw = f"book.{name}.raw"
        if ids[raw] == final["change_id"]:
            told = {float(price): float(amount) for price, amount in final["bids"]}
            assert told == books[raw]["bids"]


@pytest.mark.parametrize(("instruments", "rate"), [(14, 60), (131, 400), (131, 2_000)])
def test_the_rate_is_met(tmp_path: Path, instruments: int, rate: float) -> None:
    seconds = {60: 10, 400: 4, 2_000: 2}[rate]
    settings = {"instruments": instruments, "rate": rate}
    lines = produce(tmp_path / "truth", 100 * seconds, **settings)
    told = sum('.100ms","data":{' in line and '"type":"change"' in line for line in lines)
    assert told / seconds == pytest.approx(rate, rel=0.15)


def test_rates_are_shared_by_weight_and_never_more_than_a_tick_can_carry() -> None:
    rates = order_rates(catalogue(14), 60, 100)
    assert rates[0] == rates[1] > rates[4] > rates[13] > 0
    crowded = order_rates(catalogue(MAX_INSTRUMENTS), 3_900, 100)
    assert max(crowded) < 50


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"instruments": 0}, "instruments is 0; 1 to 500"),
        ({"instruments": 501}, "instruments is 501"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"rate": 0}, "rate is 0"),
        ({"instruments": 1, "rate": 90}, "at most 80/s"),
        ({"speed": 0}, "speed is 0"),
        ({"hold": "first"}, "give --recording"),
        ({"conflation_ms": 33}, "conflation_ms is 33"),
    ],
)
def test_a_wrong_setting_is_refused_and_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**settings)


def test_five_hundred_instruments_have_names_and_units_of_their_own() -> None:
    listed = catalogue(MAX_INSTRUMENTS)
    assert len({item.name for item in listed}) == MAX_INSTRUMENTS
    assert [item.name for item in listed if item.inverse] == ["BTC-PERPETUAL", "ETH-PERPETUAL"]
    assert listed[0].price(listed[0].start_tick) == "76914.0"
    assert listed[0].contract_size == 10
    assert listed[1].tick_size == 0.05
    assert listed[2].contract_size == 0.0001
