"""A client is given each window once and in order, its own worker's and others', through a kill."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout

from app.api.push.conflation import Key
from app.api.push.window_source import Tap
from app.embedded_kafka import EmbeddedBroker
from models.closed import ClosedWindow
from tests.api.push.conftest import ETH, Site
from tests.api.push.reading import Events
from tests.harness.group import running_group
from tests.harness.pipeline import Pipeline, Worker
from tests.harness.venue import perpetuals

INSTRUMENTS = 12
PATIENCE_S = 60.0
SECONDS = 4


def never() -> Any:
    raise AssertionError("not to be called")


def window(start_ms: int, *, length_ms: int = 1_000, hop_ms: int | None = None) -> ClosedWindow:
    hop = "" if hop_ms is None else f'"hop_ms":{hop_ms},'
    value = f'{{"instrument":"{ETH}","length_ms":{length_ms},{hop}"start_ms":{start_ms}}}'
    return ClosedWindow(ETH, length_ms, hop_ms or length_ms, start_ms, value.encode())


def handed_on(site: Site, closed: Callable[[Tap], object]) -> list[tuple[Key, bytes | None]]:
    """Return what a tap gives the hub, all of which somebody follows."""
    tap = Tap(site.hub, never, "windows", 1)
    site.hub.windows_followed.set()
    before = site.hub.latest.number
    closed(tap)
    return [(each.key, each.payload) for each in site.hub.latest.newer(before)]


async def test_a_window_of_this_worker_is_handed_on_without_kafka(site: Site) -> None:
    mine = window(1_000)
    assert handed_on(site, lambda tap: tap.own(mine)) == [(Key("1s", ETH), mine.value)]


async def test_what_was_handed_on_is_not_again_when_kafka_brings_it(site: Site) -> None:
    first, second = window(1_000), window(2_000)

    def closed(tap: Tap) -> None:
        tap.own(first)
        tap.own(second)
        number = site.hub.latest.number
        tap.take([first.value, second.value, first.value])
        tap.own(second)  # closed again: a worker took its partition over
        assert site.hub.latest.number == number
        tap.take([window(3_000).value])

    assert handed_on(site, closed) == [(Key("1s", ETH), window(3_000).value)]


async def test_windows_of_other_lengths_and_hops_are_others(site: Site) -> None:
    every = [window(1_000), window(0, length_ms=10_000), window(0, length_ms=10_000, hop_ms=1_000)]

    def closed(tap: Tap) -> None:
        for each in every:
            tap.own(each)
        tap.take([each.value for each in every])

    assert [key.channel for key, _ in handed_on(site, closed)] == ["1s", "10s", "10s/1s"]


async def test_nothing_is_handed_on_while_nobody_follows(site: Site) -> None:
    tap = Tap(site.hub, never, "windows", 1)
    before = site.hub.latest.number
    tap.own(window(1_000))
    assert site.hub.latest.number == before


@pytest.fixture(scope="module")
def group(
    broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Pipeline, list[Worker]]]:
    with running_group(
        broker,
        tmp_path_factory.mktemp("once"),
        name="once",
        workers=2,
        partitions=4,
        exchange=("--instruments", str(INSTRUMENTS), "--rate", "100", "--seed", "7"),
        ready_s=120.0,
    ) as pipeline_and_workers:
        yield pipeline_and_workers


Pushed = dict[str, list[dict[str, Any]]]
"""By instrument, in the order in which they came."""


async def follow(events: Events, pushed: Pushed, names: list[str], seconds: int) -> None:
    """Read on until so many more windows of all instruments have come."""
    wanted = {name: len(pushed.setdefault(name, [])) + seconds for name in names}
    async with asyncio.timeout(PATIENCE_S):
        while any(len(pushed[name]) < count for name, count in wanted.items()):
            for each in (await events.next("windows"))["windows"]:
                pushed[each["instrument"]].append(each)


@pytest.mark.broker
@pytest.mark.timeout(300)
def test_each_window_once_and_in_order_through_a_kill(
    group: tuple[Pipeline, list[Worker]],
) -> None:
    pipeline, (survivor, killed) = group
    names = perpetuals(pipeline.venue_url)
    pushed: Pushed = {}

    async def through_a_kill() -> tuple[dict[str, int], set[str]]:
        async with (
            ClientSession(timeout=ClientTimeout(total=None)) as http,
            http.get(f"{survivor.url}/v1/stream?lengths=1s") as answer,
        ):
            events = Events(answer)
            await follow(events, pushed, names, SECONDS)
            calm = {name: len(pushed[name]) for name in names}
            books = [survivor.get(f"/v1/books/{name}") for name in names]
            killed.kill()
            await follow(events, pushed, names, SECONDS)
            return calm, {body["meta"]["worker"] for _, body in books}

    calm, owners = asyncio.run(through_a_kill())
    assert owners == {survivor.name, killed.name}, "one owned all: no proof"

    # They may have been pushed before Kafka has them.
    wanted = {(name, each["start_ms"]) for name, windows in pushed.items() for each in windows}
    records = pipeline.read(pipeline.topic("windows"), lambda found: wanted <= set(seconds(found)))
    published = seconds(records)
    for name, windows in pushed.items():
        starts = [each["start_ms"] for each in windows]
        assert starts == sorted(set(starts)), name
        before = starts[: calm[name]]
        assert before == list(range(before[0], before[-1] + 1_000, 1_000)), "one is missing"
        assert all(each == published[name, each["start_ms"]] for each in windows), name


def seconds(records: list[Any]) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the windows of one second, by instrument and start; if published twice, equal."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for record in records:
        each = json.loads(record.value)
        if each["length_ms"] == 1_000:
            assert found.setdefault((each["instrument"], each["start_ms"]), each) == each
    return found
