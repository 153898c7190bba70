"""Any of three workers answers for every instrument, before, during and after one is killed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from aiohttp import ClientConnectorError, ClientSession, ClientTimeout
from yarl import URL

from app.cli.local_worker import open_direct
from app.embedded_kafka import EmbeddedBroker
from models.answers import BookAnswer, ImbalanceAnswer, Problem, WindowsAnswer
from tests.api.docker_names import used_metrics
from tests.api.push.reading import Events
from tests.harness.group import running_group
from tests.harness.pipeline import Pipeline, Worker
from tests.harness.venue import perpetuals

pytestmark = [pytest.mark.broker, pytest.mark.timeout(400)]

INSTRUMENTS = 12
PARTITIONS = 6
NOUNS = {"imbalance": ImbalanceAnswer, "books": BookAnswer, "windows": WindowsAnswer}
READY_S = 120.0
TAKEOVER_S = 90.0
STREAM_S = 60.0
ROUND_S = 0.5
"""For asking every worker for everything: what the owners are asked for the others included, it is
well under what one address may ask in a second."""
ASK_EVERY_S = 0.02
"""So short, that the moment in which only some instruments are known would be seen."""


@pytest.fixture(scope="module")
def group(
    broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Pipeline, list[Worker]]]:
    """Three workers that read the simulated exchange, all ready."""
    with running_group(
        broker,
        tmp_path_factory.mktemp("any"),
        name="any",
        workers=3,
        partitions=PARTITIONS,
        exchange=("--instruments", str(INSTRUMENTS), "--rate", "100", "--seed", "7"),
        ready_s=READY_S,
    ) as pipeline_and_workers:
        yield pipeline_and_workers


def ask_all(workers: list[Worker], names: list[str]) -> dict[tuple[str, str, str], tuple[int, Any]]:
    """Ask every worker for every noun of every instrument, three at a time."""
    asked = [(worker, noun, name) for worker in workers for noun in NOUNS for name in names]
    with ThreadPoolExecutor(3) as threads:
        answers = threads.map(lambda a: a[0].get(f"/v1/{a[1]}/{a[2]}"), asked)
        return {(w.name, noun, name): a for (w, noun, name), a in zip(asked, answers, strict=True)}


def refusals(
    answers: dict[tuple[str, str, str], tuple[int, Any]], *, at_first: bool = False
) -> list[str]:
    """Check all answers; return those that say 503, which is allowed for a while.

    At first an instrument may be unknown, too: nothing has been heard of it yet.
    """
    refused = []
    for (worker, noun, name), (status, body) in answers.items():
        where = f"{noun}/{name} of {worker}: {status} {body}"
        if status == 503 or (status == 404 and at_first):
            Problem.model_validate(body)
            refused.append(where)
            continue
        assert status == 200, where
        assert body["meta"]["worker"] != "forger", where
        answer = NOUNS[noun].model_validate(body, strict=False)
        data = answer.data if isinstance(answer.data, list) else [answer.data]
        assert {row.instrument for row in data} <= {name}, where
        assert answer.meta.partition is not None
        if answer.meta.status != "live":
            refused.append(where)
        else:
            assert answer.meta.age_ms is not None, where
            assert answer.meta.age_ms <= 10_000, where
    return refused


def wait_for_all(
    workers: list[Worker], names: list[str], timeout_s: float, *, at_first: bool = False
) -> None:
    """Wait until every worker answers live for everything."""
    deadline = time.monotonic() + timeout_s
    while True:
        next_round = time.monotonic() + ROUND_S
        refused = refusals(ask_all(workers, names), at_first=at_first)
        if not refused:
            return
        assert time.monotonic() < deadline, refused[:3]
        time.sleep(max(0.0, next_round - time.monotonic()))


def owners(workers: list[Worker], names: list[str]) -> dict[str, set[str]]:
    """Return by instrument who answered for its book, as told by each of the workers."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for (_, noun, name), (_, body) in ask_all(workers, names).items():
        if noun == "books":
            found[name].add(body["meta"]["worker"])
    return found


async def followed(worker: Worker, names: list[str]) -> None:
    """Follow a worker's stream until states and windows of all instruments have come."""
    states: set[str] = set()
    windows: set[str] = set()
    async with (
        asyncio.timeout(STREAM_S),
        ClientSession(timeout=ClientTimeout(total=None)) as http,
        http.get(f"{worker.url}/v1/stream?lengths=1s") as answer,
    ):
        events = Events(answer)
        while not states >= set(names) or not windows >= set(names):
            event = await events.next()
            states |= {row["instrument"] for row in event.get("states", ())}
            windows |= {window["instrument"] for window in event.get("windows", ())}


def test_every_worker_for_every_key_through_a_kill(
    group: tuple[Pipeline, list[Worker]],
) -> None:
    pipeline, workers = group
    names = perpetuals(pipeline.venue_url)
    assert len(names) == INSTRUMENTS
    wait_for_all(workers, names, TAKEOVER_S, at_first=True)
    before = owners(workers, names)
    assert all(len(found) == 1 for found in before.values()), "workers differ about an owner"
    assert len(set.union(*before.values())) == 3, "the instruments are not spread: no proof"

    for worker in workers:
        asyncio.run(followed(worker, names))
        assert used_metrics() <= exposed(worker)

    killed, survivors = workers[1], [workers[0], workers[2]]
    killed.kill()
    # Straight away: what the killed one owned is refused, with a reason, or answered as it is; not
    # as a program says that listens at its port now.
    with forging(killed) as asked:
        refused = refusals(ask_all(survivors, names))
    assert refused, "the killed worker owned something"
    assert asked, "the stranger at its port was not asked: no proof"
    wait_for_all(survivors, names, TAKEOVER_S)
    after = owners(survivors, names)
    assert all(len(found) == 1 for found in after.values())
    assert set.union(*after.values()) == {worker.name for worker in survivors}
    for worker in survivors:
        asyncio.run(followed(worker, names))

    killed.start()
    asyncio.run(knows_all_or_says_that_it_starts(killed, names))
    asyncio.run(followed(killed, names))


@contextmanager
def forging(killed: Worker) -> Iterator[list[str]]:
    """Listen at a killed worker's port, and answer all as a worker would; give what was asked."""
    asked: list[str] = []

    class Forger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            noun, name = self.path.partition("?")[0].split("/")[2:4]
            levels = {"depth": 20, "bids": [], "asks": [], "bid_levels": 0, "ask_levels": 0}
            book = {"instrument": name, "grouped": None, **levels}
            meta = {"status": "live", "age_ms": 0, "worker": "forger", "partition": 0}
            data = book if noun == "books" else []
            body = json.dumps({"ok": True, "data": data, "meta": meta}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    port = URL(killed.url).port
    assert port is not None
    with ThreadingHTTPServer(("127.0.0.1", port), Forger) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


async def knows_all_or_says_that_it_starts(worker: Worker, names: list[str]) -> None:
    """Ask a worker that has just been started until it knows all; never does it know a part."""
    refusals = 0
    async with asyncio.timeout(READY_S), ClientSession(timeout=ClientTimeout(10)) as http:
        while True:
            try:
                async with http.get(f"{worker.url}/v1/imbalance") as answer:
                    status, body = answer.status, await answer.json(content_type=None)
                    retry_after = answer.headers.get("Retry-After")
            except ClientConnectorError:
                await asyncio.sleep(ASK_EVERY_S)
                continue
            if status == 200:
                assert [row["instrument"] for row in body["data"]] == sorted(names)
                break
            problem = Problem.model_validate(body)
            assert (status, retry_after) == (503, "1")
            assert problem.type == "urn:steelyard:problem:not-ready"
            assert "is starting" in problem.detail
            refusals += 1
            for path in ("/v1/instruments", "/v1/stream"):
                async with http.get(worker.url + path) as answer:
                    assert answer.status in {200, 503}, path  # it may be ready by now
            await asyncio.sleep(ASK_EVERY_S)
        async with http.get(f"{worker.url}/v1/stream") as answer:
            whole = await Events(answer).next("states")
    assert refusals, "it was ready before it could be asked: no proof"
    assert {row["instrument"] for row in whole["states"]} == set(names)


def exposed(worker: Worker) -> set[str]:
    """Return the names of the metrics that a worker exposes."""
    from prometheus_client.parser import text_string_to_metric_families

    with open_direct(f"{worker.url}/metrics", 5) as answer:
        text = answer.read().decode()
    return {
        sample.name for family in text_string_to_metric_families(text) for sample in family.samples
    }
