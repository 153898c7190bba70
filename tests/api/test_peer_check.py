"""A worker that others do not reach is named, and so is one whose clock is wrong; what is old is
never served as live."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from yarl import URL

from app.api.forwarding import Owners
from app.api.peer_check import Neighbours
from app.api.peer_signatures import Peers
from app.embedded_kafka import EmbeddedBroker
from app.embedded_kafka.processes import free_port
from app.settings import Settings
from app.topics import ownership as claims
from app.topics.ownership import AddressTaken, check_claims
from tests.api.recorded import RecordedServing, served
from tests.harness.pipeline import Pipeline, Worker
from tests.harness.venue import perpetuals

OWN_URL = URL("http://127.0.0.1:1")
READY_S = 90.0
SAID_WITHIN_S = 40.0
STALE_S = 3.0
SESSION_S = 8.0
HOUR_S = 3_600


class Looking:
    """A worker that looks at others, whose live records say what a test sets."""

    def __init__(self) -> None:
        self.others: list[tuple[str, str, str]] = []
        latest = SimpleNamespace(others=lambda secret, within_ms: self.others)
        self.written: Any = SimpleNamespace(
            latest=latest, url=OWN_URL, secret="mine", neighbour_troubles=[]
        )
        self.neighbours = Neighbours(self.written, Owners(self.written, Peers("mine", "a token")))

    async def troubles(self, looks: int = 2) -> list[str]:
        for _ in range(looks):
            await self.neighbours.look()
        return self.written.neighbour_troubles


async def test_who_is_reached_is_no_trouble_and_who_is_not_is_named() -> None:
    looking, other = Looking(), RecordedServing("worker-2")
    async with served(other) as url:
        looking.neighbours.owners = Owners(looking.written, Peers("mine"))
        looking.others = [(other.secret, "worker-2", url)]
        assert await looking.troubles() == []
        # Another process is there: it has not the secret of the one that is meant.
        looking.others = [("of another", "worker-3", url)]
        (said,) = await looking.troubles()
        assert said.startswith(f"worker-3 is not reached at {url}, which it advertises (")
        assert "STEELYARD_WEB_ADVERTISED" in said
        looking.others = [(other.secret, "worker-2", url)]
        assert await looking.troubles() == []
    assert await looking.troubles(1) == [], "it may be starting anew"
    (said,) = await looking.troubles(1)
    assert said.startswith(f"worker-2 is not reached at {url}")
    looking.others = []
    assert await looking.troubles() == [], "it is dead, or has gone"


@pytest.mark.parametrize("url", ["http://no-such-host.invalid:6066", "http://127.0.0.1:9"])
async def test_an_address_that_leads_nowhere(url: str) -> None:
    looking = Looking()
    looking.others = [("theirs", "worker-2", url)]
    (said,) = await looking.troubles()
    assert f"worker-2 is not reached at {url}" in said


async def test_two_that_advertise_one_address_are_named_at_once() -> None:
    looking = Looking()
    looking.others = [("theirs", "worker-2", str(OWN_URL))]
    (said,) = await looking.troubles(1)
    assert f"worker-2 advertises {OWN_URL}, which is the address of this worker" in said


def test_which_addresses_are_of_this_machine() -> None:
    for host in ("127.0.0.1", "127.0.0.7"):
        assert claims.is_of_here(host)
    for host in ("192.0.2.1", "203.0.113.9", "a name", ""):
        assert not claims.is_of_here(host)


@pytest.fixture(scope="module")
def pipeline(
    broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """Worker 1 as it should be; worker 2 advertises a port of nobody, and its clock is slow."""
    installation = Settings(
        _env_file=None,
        installation="neighbours",
        kafka=broker.bootstrap,
        data_dir=tmp_path_factory.mktemp("neighbours"),
        partitions=4,
    )
    with Pipeline(installation) as made:
        made.start_exchange("--instruments", "6", "--rate", "50", "--seed", "3")
        made.start_worker(1)
        made.application = "tests.harness.wrong_clock"
        address = f"127.0.0.1:{free_port()}"
        second = made.worker(2, web_advertised=address)
        second.env |= {"CLOCK_AHEAD_S": str(-HOUR_S)}
        second.start()
        for worker in made.workers.values():
            worker.wait_ready(READY_S)
        yield made


def rows(worker: Worker) -> dict[str, dict[str, Any]]:
    status, body = worker.get("/v1/imbalance")
    assert status == 200, body
    return {row["instrument"]: row for row in body["data"]}


def reasons(worker: Worker) -> str:
    status, body = worker.get("/readyz")
    return "; ".join(body["data"]["reasons"]) if status == 200 else ""


@pytest.mark.broker
async def test_an_address_of_a_worker_on_another_machine_is_refused(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address = pipeline.workers[2].env["STEELYARD_WEB_ADVERTISED"]
    same = pipeline.installation.model_copy(
        update={"web_advertised": address, "venue_url": pipeline.venue_url}
    )
    await check_claims(same)  # of this machine: then the port cannot be bound twice
    monkeypatch.setattr(claims, "is_of_here", lambda host: False)
    monkeypatch.setattr(claims, "LEAVES_WITHIN_S", 1.0)
    with pytest.raises(AddressTaken, match=f"advertises http://{address}, and so would this one"):
        await check_claims(same)
    caplog.set_level("WARNING", "steelyard.worker")
    other = same.model_copy(update={"web_advertised": "127.0.0.1:1"})
    await check_claims(other)
    assert "where only this machine reaches it: set STEELYARD_WEB_ADVERTISED" in caplog.text


@pytest.mark.broker
@pytest.mark.timeout(400)
def test_wrong_clocks_and_addresses_in_a_real_group(
    pipeline: Pipeline,
) -> None:
    first, second = pipeline.workers[1], pipeline.workers[2]
    names = set(perpetuals(pipeline.venue_url))

    def all_live(worker: Worker) -> bool:
        found = rows(worker)
        return found.keys() == names and all(
            row["status"] == "live" and row["age_ms"] < STALE_S * 1_000 for row in found.values()
        )

    for worker in (first, second):  # an hour apart, and each takes the other's for what it is
        worker.wait_until("all live", lambda worker=worker: all_live(worker), SAID_WITHIN_S, 0.2)
    owned = {name: row["worker"] for name, row in rows(first).items()}
    assert set(owned.values()) == {"worker-1", "worker-2"}, "not shared: no proof"

    clock = "the clock of worker-2 is 3600."
    for worker in (first, second):
        said = worker.wait_until(
            "the clock said",
            lambda worker=worker: clock in reasons(worker) and reasons(worker),
            SAID_WITHIN_S,
        )
        assert "behind Kafka's" in said
    first.wait_until(
        "the address said",
        lambda: (
            f"worker-2 is not reached at {second.env['STEELYARD_WEB_ADVERTISED']}"
            in reasons(first).replace("http://", "")
        ),
        SAID_WITHIN_S,
    )
    assert "worker-1 is not reached" not in reasons(second)

    # What was live is not for longer than it may be, on a worker whose clock is an hour behind.
    theirs = [name for name, owner in owned.items() if owner == "worker-1"]
    first.kill()
    killed_s = time.monotonic()
    seen = set()
    while (since_s := time.monotonic() - killed_s) < SESSION_S - 1:
        found = rows(second)
        asked_s = time.monotonic() - killed_s
        for row in (found[name] for name in theirs):
            seen.add(row["status"])
            if since_s > STALE_S + 1:
                assert row["status"] != "live", (since_s, row)
            if row["worker"] == "worker-1":
                assert row["age_ms"] > (since_s - 1.5) * 1_000, (since_s, row)
                assert row["age_ms"] < (asked_s + 3) * 1_000, (asked_s, row)
        time.sleep(0.1)
    assert "stale" in seen
