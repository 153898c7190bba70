"""The page is right or says that it is not: while the worker is away, of a span that is too long or
too old, of an instrument that there is not."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, Route, expect

from tests.api.recorded import served
from tests.system.browser.conftest import PICTURES, Watched
from tests.system.browser.modelled import ModelledServing

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

Open = Callable[..., Awaitable[Watched]]
ETH, BTC = "ETH-PERPETUAL", "BTC-PERPETUAL"
SECOND_MS = 1_000


def own(modelled: ModelledServing) -> ModelledServing:
    """Return a copy that a test may change."""
    made = copy.copy(modelled)
    made.processors = dict(modelled.processors)
    made.closed = dict(modelled.closed)
    return made


def with_windows(modelled: ModelledServing, count: int) -> tuple[ModelledServing, int, int]:
    """Return a market with so many windows of ETH, and the span that they cover."""
    made = own(modelled)
    known = [json.loads(window) for _, window in made.closed[ETH, SECOND_MS, None]]
    end_ms = known[-1]["end_ms"]
    begin_ms = end_ms - count * SECOND_MS
    windows = []
    for place in range(count):
        start_ms = begin_ms + place * SECOND_MS
        times = {"start_ms": start_ms, "end_ms": start_ms + SECOND_MS}
        window = {**known[place % len(known)], **times}
        windows.append((start_ms, json.dumps(window).encode()))
    made.closed[ETH, SECOND_MS, None] = windows
    return made, begin_ms, end_ms


async def picture(page: Page, name: str) -> None:
    if PICTURES is not None:
        await page.screenshot(path=f"{PICTURES}/{name}.png")


async def refuse(route: Route) -> None:
    await route.abort()


@pytest.mark.parametrize("file", ["instrument.js", "chart.js", "vendor/uplot/uPlot.esm.js"])
async def test_an_instrument_that_is_first_opened_while_the_worker_is_away(
    open_page: Open, modelled: ModelledServing, file: str
) -> None:
    async def without_file(page: Page) -> None:
        await page.route(f"**/static/{file}", refuse)

    async with served(modelled) as url:
        page = (await open_page(url, before=without_file)).page
    await page.locator(f'tr[data-instrument="{ETH}"]').click()
    await expect(page.locator("#offline")).to_be_visible()
    await expect(page.locator("#loading")).to_be_visible()
    await expect(page.locator("#name")).to_have_text(ETH)
    await picture(page, "says-loading")
    await page.unroute(f"**/static/{file}")
    async with served(modelled, port=int(url.rsplit(":", 1)[1])):
        await expect(page.locator("#loading")).to_be_hidden()
        await expect(page.locator("#pill")).to_have_text("live")
        panels = page.locator("#panels")
        windows = len(modelled.closed[ETH, SECOND_MS, None])
        await expect(panels).to_have_attribute("data-windows", str(windows))
        await expect(page.locator("#ladder .bids td").first).not_to_be_empty()


async def test_the_charts_are_there_before_they_are_asked_for(
    open_page: Open, modelled: ModelledServing
) -> None:
    """So that a worker that goes away then takes only the numbers with it."""
    async with served(modelled) as url:
        page = (watched := await open_page(url)).page
        while not any("uPlot" in request for request in watched.requests):
            await page.wait_for_event("request")
        await page.wait_for_load_state("networkidle")
    await page.locator(f'tr[data-instrument="{ETH}"]').click()
    await expect(page.locator("#pill")).to_have_text("stale")
    await expect(page.locator("#figures")).to_be_visible()
    await expect(page.locator("#loading")).to_be_hidden()


async def test_the_header_counts_nothing_as_live_while_all_is_stale(
    open_page: Open, modelled: ModelledServing
) -> None:
    async with served(modelled) as url:
        page = (await open_page(url)).page
        summary = page.locator("#summary")
        await expect(summary).to_contain_text("live")
    await expect(page.locator("#offline")).to_be_visible()
    count = len(modelled.processors)
    await expect(summary).to_have_text(f"{count} stale")
    await page.locator("#find").fill("eth")
    shown = sum("ETH" in name for name in modelled.processors)
    await expect(summary).to_have_text(f"{shown} of {count} · {count} stale")
    await picture(page, "says-stale")
    async with served(modelled, port=int(url.rsplit(":", 1)[1])):
        await expect(summary).to_contain_text("live")


@pytest.mark.parametrize("count", [2_000, 2_001, 5_200])
async def test_a_long_span_is_drawn_whole(
    open_page: Open, modelled: ModelledServing, count: int
) -> None:
    market, begin_ms, end_ms = with_windows(modelled, count)
    async with served(market) as url:
        address = f"{url}/#instrument={ETH}&length=1s&from={begin_ms}&to={end_ms}"
        page = (watched := await open_page(address)).page
        panels = page.locator("#panels")
        await expect(panels).to_have_attribute("data-windows", str(count))
        await expect(panels).to_have_attribute("data-begin", str(begin_ms))
        await expect(page.locator("#windows-note")).to_have_text(f"{count} windows of 1 s.")
        await picture(page, f"says-span-{count}")
        asked = [request for request in watched.requests if f"/v1/windows/{ETH}" in request]
        assert len(asked) == -(-count // 2_000)
        assert watched.errors == []


async def test_a_span_that_is_too_long_says_what_is_left_out(
    open_page: Open, modelled: ModelledServing
) -> None:
    market, begin_ms, end_ms = with_windows(modelled, 10_500)
    async with served(market) as url:
        address = f"{url}/#instrument={ETH}&length=1s&from={begin_ms}&to={end_ms}"
        page = (watched := await open_page(address)).page
        note = page.locator("#windows-note")
        await expect(note).to_contain_text("more than 10,000 windows of this length")
        await expect(note).to_contain_text("only the last are drawn")
        begun_ms = str(end_ms - 10_000 * SECOND_MS)
        await expect(page.locator("#panels")).to_have_attribute("data-begin", begun_ms)
        await picture(page, "says-too-long")
        assert watched.errors == []


async def test_a_span_that_is_partly_or_not_kept_says_so(
    open_page: Open, modelled: ModelledServing
) -> None:
    market, begin_ms, end_ms = with_windows(modelled, 120)
    async with served(market) as url:
        before_ms = begin_ms - 60_000
        address = f"{url}/#instrument={ETH}&length=1s&from={before_ms}&to="
        page = (await open_page(f"{address}{end_ms}")).page
        note = page.locator("#windows-note")
        await expect(note).to_contain_text("120 windows of 1 s. Windows before ")
        await expect(note).to_contain_text("are not kept")
        await picture(page, "says-not-kept")
        await page.goto(f"{address}{begin_ms}")
        await expect(note).to_contain_text("Of this span nothing is kept")


async def test_a_page_of_a_span_that_cannot_be_had_is_asked_for_again(
    open_page: Open, modelled: ModelledServing
) -> None:
    market, begin_ms, end_ms = with_windows(modelled, 2_500)
    failed = asyncio.Event()

    async def fail_once(route: Route) -> None:
        if "cursor=" in route.request.url and not failed.is_set():
            failed.set()
            await route.abort()
        else:
            await route.continue_()

    async def failing(page: Page) -> None:
        await page.route("**/v1/windows/**", fail_once)

    async with served(market) as url:
        address = f"{url}/#instrument={ETH}&length=1s&from={begin_ms}&to={end_ms}"
        page = (await open_page(address, before=failing)).page
        await expect(page.locator("#panels")).to_have_attribute("data-windows", "2500")
        assert failed.is_set()


async def test_an_unknown_instrument_is_unknown_and_not_asked_for_again_and_again(
    open_page: Open, modelled: ModelledServing
) -> None:
    market = own(modelled)
    missing = market.processors.pop(BTC)
    async with served(market) as url:
        page = (watched := await open_page(f"{url}/#instrument={BTC}")).page
        await expect(page.locator("#unknown")).to_contain_text(f"There is no {BTC} here")
        await expect(page.locator("#pill")).to_have_text("unknown")
        await expect(page.locator("#figures")).to_be_hidden()
        await picture(page, "says-unknown")
        source = page.locator("#source")
        for _ in range(3):  # the time of the last event, which goes on by seconds
            market.clock_ms += 1_000
            before = await source.inner_text()
            await expect(source).not_to_have_text(before)
        assert [request for request in watched.requests if BTC in request] == []
        assert watched.errors == []

        market.processors[BTC] = missing
        await expect(page.locator("#unknown")).to_be_hidden()
        await expect(page.locator("#figures")).to_be_visible()
        await expect(page.locator("#pill")).not_to_have_text("unknown")
        assert any(f"/v1/books/{BTC}" in request for request in watched.requests)


@pytest.mark.parametrize("written", ["60s", "60000ms", "1m"])
async def test_a_length_in_the_address_is_the_same_however_it_is_written(
    open_page: Open, modelled: ModelledServing, written: str
) -> None:
    async with served(modelled) as url:
        page = (await open_page(f"{url}/#instrument={ETH}&length={written}")).page
        await expect(page.locator("#lengths input:checked")).to_have_value("1m")
