"""Bad input from the venue is refused or healed, said, and touches nothing else."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from websockets.sync.client import ClientConnection, connect

from app.settings import Settings
from tests.harness.pipeline import Pipeline, Worker

pytestmark = pytest.mark.broker

OTHERS = ("BTC-PERPETUAL", "SOL_USDC-PERPETUAL")
BASES = ("ETH", "BTC", "XRP", "DOGE", "ADA", "AVAX", "LINK", "LTC", "DOT", "BNB", "TRX")
VICTIMS = [f"{base}_USDC-PERPETUAL" for base in BASES]
"""One for each test, and the first for those that leave books alone: a book that has gaps again and
again is resynced ever more slowly."""
HEAL_S = 30.0


class Bench:
    """A running installation whose victims are halted, so that only the test changes a book."""

    def __init__(self, pipeline: Pipeline, worker: Worker, control: ClientConnection) -> None:
        self.pipeline = pipeline
        self.worker = worker
        self.control = control
        self.victim = VICTIMS[0]
        self._id = 0

    def call(self, method: str, **params: Any) -> Any:
        self._id += 1
        request = {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}
        self.control.send(json.dumps(request))
        while True:
            answer = json.loads(self.control.recv(timeout=5))
            if answer.get("id") == self._id:
                return answer["result"]

    def inject(self, text: str) -> None:
        assert self.call("simulator/inject", channel=self.channel, text=text) >= 1

    @property
    def channel(self) -> str:
        return f"book.{self.victim}.100ms"

    def message(self, previous: int, change_id: int, **changed: Any) -> str:
        data = {
            "timestamp": 0,
            "type": "change",
            "change_id": change_id,
            "prev_change_id": previous,
            "instrument_name": self.victim,
            "bids": [],
            "asks": [["new", 9e5, 10.0]],
            **changed,
        }
        params = {"channel": self.channel, "data": data}
        return json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params})

    def state(self, instrument: str) -> dict[str, Any]:
        status, body = self.worker.get(f"/v1/imbalance/{instrument}")
        return body["data"] if status == 200 else {}

    def live_id(self) -> int:
        """Wait until the victim is live with a book; return its change_id."""

        def live() -> int | None:
            status, body = self.worker.get(f"/v1/books/{self.victim}?depth=1")
            if status != 200 or body["meta"]["status"] != "live":
                return None
            return body["meta"]["change_id"]

        found: int = self.worker.wait_until(f"{self.victim} live", live, HEAL_S)
        return found

    def seen(self) -> set[tuple[int, int]]:
        """Return where the records of `refused` stand that there are now."""
        records = self.pipeline.read(self.pipeline.topic("refused"))
        return {(record.partition, record.offset) for record in records}

    def refused_since(self, seen: set[tuple[int, int]]) -> dict[str, Any]:
        """Wait for a record of `refused` that is not among those seen; return it."""

        def is_new(records: list[Any]) -> bool:
            return any((record.partition, record.offset) not in seen for record in records)

        topic = self.pipeline.topic("refused")
        for record in self.pipeline.read(topic, is_new, timeout_s=HEAL_S):
            if (record.partition, record.offset) not in seen:
                found: dict[str, Any] = json.loads(record.value)
                return found
        raise AssertionError("nothing was refused")


@pytest.fixture(scope="module")
def bench(broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    installation = Settings(
        installation="bad-input",
        kafka=broker.bootstrap,
        data_dir=tmp_path_factory.mktemp("bad-input"),
        partitions=2,
    )
    instruments = ",".join((*VICTIMS, *OTHERS))
    with Pipeline(installation, instruments=instruments) as pipeline:
        pipeline.start_exchange("--control", "--rate", "60")
        worker = pipeline.start_worker(1)
        worker.wait_ready()
        with connect(pipeline.venue_url, compression=None) as control:
            bench = Bench(pipeline, worker, control)
            for victim in VICTIMS:
                bench.call("simulator/set_state", instrument_name=victim, state="halted")
            yield bench


@pytest.fixture
def fresh(bench: Bench) -> Bench:
    """The bench with a victim that no test has touched."""
    bench.victim = VICTIMS[VICTIMS.index(bench.victim) + 1]

    def has_settled() -> bool:
        book = bench.call("public/get_order_book", instrument_name=bench.victim, depth=1)
        return bool(book["change_id"] == bench.live_id())

    bench.worker.wait_until("the halted book has its last change", has_settled, HEAL_S)
    return bench


REFUSED = {
    "a type is wrong": ({"bids": "none"}, "array"),
    "an action is unknown": ({"bids": [["update", 1.0, 1.0]]}, "Invalid enum value"),
    "a size is negative": ({"bids": [["new", 2_000.0, -5.0]]}, "amount -5.0"),
    "a size is zero": ({"bids": [["new", 2_000.0, 0.0]]}, "amount 0.0"),
    "a price is zero": ({"bids": [["new", 0.0, 5.0]]}, "price 0.0"),
    "a price is finer than any tick": ({"bids": [["new", 2_000.123456789, 5.0]]}, "price"),
    "a number is out of range": ({"bids": [["new", 1e300, 5.0]]}, "1e\\+300"),
    "the stamp is far in the future": ({"timestamp": 10**13}, "ahead of the venue's"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_message_that_cannot_be_is_refused_whole_and_the_book_heals(
    fresh: Bench, name: str
) -> None:
    changed, reason = REFUSED[name]
    before = fresh.live_id()
    gaps = fresh.state(fresh.victim)["gaps"]
    others = {other: fresh.state(other)["gaps"] for other in OTHERS}
    known = fresh.seen()

    fresh.inject(fresh.message(before, before + 1, **changed))
    record = fresh.refused_since(known)
    assert record["instrument"] == fresh.victim
    assert re.search(reason, record["reason"]), record["reason"]
    assert record["topic"].endswith("feed")
    assert record["offset"] is not None
    assert fresh.live_id() == before, "a refused message must change nothing"

    # The next change names the refused one as its predecessor: a gap, and a new snapshot.
    fresh.inject(fresh.message(before + 1, before + 2))
    fresh.worker.wait_until(
        "the gap is seen", lambda: fresh.state(fresh.victim).get("gaps", 0) > gaps, HEAL_S
    )
    assert fresh.live_id() == before
    assert {other: fresh.state(other)["gaps"] for other in OTHERS} == others
    assert all(fresh.state(other)["status"] == "live" for other in OTHERS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("malformed JSON", '{"jsonrpc":"2.0","method":"subscription","params":{"channel":'),
        ("not a number", '{"jsonrpc":"2.0","method":"subscription","params":NaN}'),
        ("not an object", "[1,2,3]"),
    ],
)
def test_text_that_is_no_message_is_refused(bench: Bench, name: str, text: str) -> None:
    before = bench.live_id()
    known = bench.seen()
    bench.inject(text)
    record = bench.refused_since(known)
    assert record["message"] == text
    assert record["reason"]
    assert bench.live_id() == before


def test_another_instrument_in_the_channel_is_refused(fresh: Bench) -> None:
    before = fresh.live_id()
    known = fresh.seen()
    fresh.inject(fresh.message(before, before + 1, instrument_name="BTC-PERPETUAL"))
    assert "BTC-PERPETUAL" in fresh.refused_since(known)["reason"]
    assert fresh.state("BTC-PERPETUAL")["status"] == "live"


def test_a_duplicate_changes_nothing(fresh: Bench) -> None:
    before = fresh.live_id()
    gaps = fresh.state(fresh.victim)["gaps"]
    # A gap first, so that ingest and book stand at the same change again.
    fresh.inject(fresh.message(before + 5, before + 6))
    fresh.worker.wait_until(
        "the gap is seen", lambda: fresh.state(fresh.victim).get("gaps", 0) > gaps, HEAL_S
    )
    assert fresh.live_id() == before
    gaps = fresh.state(fresh.victim)["gaps"]
    fresh.inject(fresh.message(before - 1, before))
    known = fresh.seen()
    fresh.inject("not json: a mark that the duplicate has been passed")
    fresh.refused_since(known)
    assert fresh.live_id() == before
    assert fresh.state(fresh.victim)["gaps"] == gaps


def test_a_channel_that_was_never_asked_for_changes_nothing(bench: Bench) -> None:
    before = bench.live_id()
    known = bench.seen()
    bench.inject(bench.message(1, 2).replace(bench.channel, "book.FOO-PERPETUAL.100ms"))
    bench.inject("not json: a mark that the stranger has been passed")
    bench.refused_since(known)
    assert bench.live_id() == before
    assert "FOO-PERPETUAL" not in {
        s["instrument"] for s in bench.worker.get("/v1/imbalance")[1]["data"]
    }
    assert bench.worker.running


def test_a_frame_in_a_partition_that_is_not_its_instruments_is_refused(bench: Bench) -> None:
    """As another producer's partitioner would put it: the instrument would exist twice."""
    other = OTHERS[0]
    before = bench.state(other)
    frames = bench.pipeline.read(bench.pipeline.topic("feed"))
    frame = next(record for record in frames if record.key == other.encode())
    known = bench.seen()

    elsewhere = 1 - frame.partition
    asyncio.run(write(bench.pipeline, frame.key, frame.value, elsewhere))
    record = bench.refused_since(known)
    assert record["reason"].startswith("not a frame of here")
    assert (record["instrument"], record["partition"]) == (other, elsewhere)

    def is_later() -> bool:
        return bool(bench.state(other)["published_ms"] > before["published_ms"])

    bench.worker.wait_until("its state was published again", is_later, HEAL_S)
    assert bench.state(other)["partition"] == frame.partition
    assert bench.worker.get("/readyz")[0] == 200


async def write(pipeline: Pipeline, key: bytes, value: bytes, partition: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=pipeline.installation.kafka)
    await producer.start()
    try:
        await producer.send_and_wait(pipeline.topic("feed"), value, key=key, partition=partition)
    finally:
        await producer.stop()
