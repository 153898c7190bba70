"""The page in a real browser: its numbers are the API's, its quality is honest, and it is quiet."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import time
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Locator, Page, expect

from app.cli.local_worker import open_direct
from tests.api.recorded import RecordedServing, served
from tests.system.browser.conftest import NOTE_STALE, Watched, stale_after_s

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

Open = Callable[..., Awaitable[Watched]]
ETH, LOST = "ETH-PERPETUAL", "LTC_USDC-PERPETUAL"
STALE_WITHIN_S = 3.0


async def api(url: str) -> list[dict[str, object]]:
    body = await asyncio.to_thread(lambda: open_direct(f"{url}/v1/imbalance", 5).read())
    return json.loads(body)["data"]


async def names(watched: Watched) -> list[str]:
    rows = watched.page.locator("#board tbody tr:visible")
    return await rows.evaluate_all("rows => rows.map((row) => row.dataset.instrument)")


def cell(watched: Watched, name: str, key: str) -> Locator:
    return watched.page.locator(f'tr[data-instrument="{name}"] td[data-key="{key}"]')


def signed(value: float | None, decimals: int) -> str:
    if value is None:
        return "–"
    text = f"{abs(value):.{decimals}f}"
    return text if float(text) == 0 else ("\u2212" if value < 0 else "+") + text


def usd(value: float | None) -> str:
    if value is None or abs(value) < 999.5:
        return signed(value, 0)
    if abs(value) < 999_950:
        return signed(value / 1e3, 1) + "k"
    if abs(value) < 999_995_000:
        return signed(value / 1e6, 2) + "M"
    return signed(value / 1e9, 2) + "B"


async def test_numbers_are_the_apis(open_page: Open, market: RecordedServing) -> None:
    async with served(market) as url:
        watched = await open_page(url)
        await expect(watched.page.locator("#board tbody tr")).to_have_count(len(market.processors))
        for state in await api(url):
            name = state["instrument"]
            row = watched.page.locator(f'tr[data-instrument="{name}"]')
            await expect(row).to_have_attribute("data-change-id", str(state["change_id"]))
            await expect(cell(watched, name, "status")).to_have_text(state["status"])
            mid = await cell(watched, name, "mid").inner_text()
            assert mid == ("–" if state["mid"] is None else repr(state["mid"]))
            for key in [key for key in state if key.startswith("imbalance_")]:
                assert await cell(watched, name, key).inner_text() == signed(state[key], 3)
            for key in ("ofi_usd", "trade_flow_usd"):
                assert await cell(watched, name, key).inner_text() == usd(state[key])
        assert await watched.page.locator("#simulated").is_visible()
        assert "SIMULATED" in await watched.page.locator("#simulated").inner_text()
        # A zero that stands for "not known" would be a lie.
        assert await cell(watched, LOST, "imbalance_10").inner_text() == "–"
        assert watched.errors == []
        assert watched.hosts() == {url.split("/")[2]}


async def test_a_change_is_shown(open_page: Open) -> None:
    serving = RecordedServing()
    serving.add(ETH, 1_000)
    async with served(serving) as url:
        watched = await open_page(url)
        row = watched.page.locator("#board tbody tr")
        before = str(serving.states()[ETH].change_id)
        await expect(row).to_have_attribute("data-change-id", before)
        serving.play(ETH, 500)
        state = serving.states()[ETH]
        assert str(state.change_id) != before
        await expect(row).to_have_attribute("data-change-id", str(state.change_id))
        await expect(cell(watched, ETH, "imbalance_5")).to_have_text(signed(state.imbalance_5, 3))
        # The stronger and the bluer (or the more orange), the larger.
        heat = cell(watched, ETH, "imbalance_5")
        side = "bid" if state.imbalance_5 > 0 else "ask"
        await expect(heat).to_have_attribute("data-side", side)
        strength = await heat.evaluate("cell => cell.style.getPropertyValue('--heat')")
        assert float(strength.removesuffix("%")) == pytest.approx(
            abs(state.imbalance_5) * 100, abs=2.6
        )
        assert not await watched.page.locator("#simulated").is_visible()
        assert watched.errors == []


async def test_the_line_shows_the_past_windows(open_page: Open, market: RecordedServing) -> None:
    async with served(market) as url:
        watched = await open_page(url)
        # The last window, two pixels wide, comes with the first answer; the others are asked for.
        inked = await watched.page.wait_for_function(
            """() => {
              const canvas = document.querySelector('tr[data-instrument="ETH-PERPETUAL"] canvas');
              const { width, height } = canvas;
              const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
              const columns = new Set();
              data.forEach((value, place) => {
                const isBar = place % 4 === 3 && value === 255;
                if (isBar) columns.add(((place - 3) / 4) % width);
              });
              return columns.size > 2 && columns.size;
            }"""
        )
        windows = len(market.closed[ETH, 1_000, None])
        assert 5 < await inked.json_value() <= 2 * windows
        asked = [request for request in watched.requests if f"/v1/windows/{ETH}" in request]
        assert asked == [f"{url}/v1/windows/{ETH}?length=1000ms&limit=60"]


async def test_stale_when_the_server_stops_and_well_again(
    open_page: Open, market: RecordedServing
) -> None:
    async with served(market) as url:
        watched = await open_page(url)
        pill = cell(watched, ETH, "status")
        await expect(pill).to_have_text("live")
        await watched.page.evaluate(NOTE_STALE)
        stopped = time.time()
    notice = watched.page.locator("#offline")
    await expect(notice).to_be_visible()
    await expect(pill).to_have_text("stale")
    assert await stale_after_s(watched.page, stopped) < STALE_WITHIN_S
    assert "can't be reached" in await notice.inner_text()
    pills = await watched.page.locator("#board .pill").all_inner_texts()
    assert set(pills) == {"stale"}
    async with served(market, port=int(url.rsplit(":", 1)[1])):
        await expect(pill).to_have_text("live")
        await expect(notice).to_be_hidden()


async def test_stale_when_the_server_hangs(open_page: Open, market: RecordedServing) -> None:
    async with served(market) as url:
        watched = await open_page(url, before=without_stream)
        pending = [0]  # how many are held, after each that began or was given up
        watched.page.on("requestfailed", lambda _: pending.append(pending[-1] - 1))
        await watched.page.evaluate(NOTE_STALE)
        await watched.page.route("**/v1/imbalance", lambda _: pending.append(pending[-1] + 1))
        await expect(watched.page.locator("#offline")).to_be_visible()
        assert await watched.page.evaluate("window.staleSaid") < STALE_WITHIN_S
        await expect(cell(watched, ETH, "status")).to_have_text("stale")
        await watched.page.wait_for_event("requestfailed")  # it was asked more than once
        assert max(pending) == 1  # and never before the last one was given up


async def test_without_a_stream_it_asks(open_page: Open) -> None:
    serving = RecordedServing()
    serving.add(ETH, 1_000)
    async with served(serving) as url:
        watched = await open_page(url, before=without_stream)
        row = watched.page.locator("#board tbody tr")
        await expect(row).to_have_attribute("data-change-id", str(serving.states()[ETH].change_id))
        serving.play(ETH, 500)
        await expect(row).to_have_attribute("data-change-id", str(serving.states()[ETH].change_id))
        assert any("/v1/imbalance" in request for request in watched.requests)


async def test_with_a_stream_it_does_not_ask(open_page: Open) -> None:
    serving = RecordedServing()
    serving.add(ETH, 1_000)
    async with served(serving) as url:
        watched = await open_page(url)
        row = watched.page.locator("#board tbody tr")
        for _ in range(3):
            serving.play(ETH, 100)
            change_id = str(serving.states()[ETH].change_id)
            await expect(row).to_have_attribute("data-change-id", change_id)
        assert not any("/v1/imbalance" in request for request in watched.requests)
        assert len([request for request in watched.requests if "/v1/stream" in request]) == 1


async def without_stream(page: Page) -> None:
    """Let the stream fail, as behind a proxy that forbids it."""
    await page.route("**/v1/stream", lambda route: route.fulfill(status=503))


async def test_a_fault_of_the_server_is_told(
    open_page: Open, market: RecordedServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = copy.copy(market)
    async with served(own) as url:
        watched = await open_page(url, before=without_stream)
        monkeypatch.setattr(own, "states", lambda: 1 / 0)
        await expect(watched.page.locator("#offline")).to_contain_text("the server failed")


async def test_sort_by_keyboard_and_the_address_remembers(
    open_page: Open, market: RecordedServing
) -> None:
    async with served(market) as url:
        states = {state["instrument"]: state["imbalance_10"] for state in await api(url)}
        known = [name for name in states if states[name] is not None]
        watched = await open_page(url)
        page = watched.page
        assert await names(watched) == sorted(states)
        button = page.locator('th[data-key="imbalance_10"] button')
        header = page.locator('th[data-key="imbalance_10"]')
        for sort, order in (
            ("other", lambda name: (-abs(states[name]), name)),
            ("descending", lambda name: (-states[name], name)),
            ("ascending", lambda name: (states[name], name)),
        ):
            await button.focus()
            await page.keyboard.press("Enter")
            await expect(header).to_have_attribute("aria-sort", sort)
            assert await names(watched) == [*sorted(known, key=order), LOST]
        assert page.url.endswith("#sort=imbalance_10")
        assert await page.locator("[aria-sort]").count() == 1

        again = await open_page(page.url)
        assert await names(again) == await names(watched)


async def test_search(open_page: Open, market: RecordedServing) -> None:
    async with served(market) as url:
        watched = await open_page(url)
        page = watched.page
        await page.keyboard.press("/")
        await page.keyboard.type("btc")
        assert await names(watched) == ["BTC-PERPETUAL", "BTC_USDC-PERPETUAL"]
        assert page.url.endswith("#find=btc")
        assert (await page.locator("#summary").inner_text()).startswith("2 of 7")
        await page.keyboard.type('<img src=x onerror="alert(1)">')
        assert await names(watched) == []
        assert "<img" in await page.locator("#empty").inner_text()
        await page.keyboard.press("Escape")
        assert len(await names(watched)) == 7
        assert watched.errors == []


async def test_a_hostile_address_is_ignored(open_page: Open, market: RecordedServing) -> None:
    async with served(market) as url:
        watched = await open_page(f"{url}/#sort=__proto__&find=%3Cscript%3Ealert(1)%3C/script%3E")
        assert await watched.page.locator("#find").input_value() == "<script>alert(1)</script>"
        assert await watched.page.locator("main script").count() == 0
        assert watched.errors == []


async def test_it_says_that_it_waits(chromium: object, open_page: Open) -> None:
    serving = RecordedServing()
    serving.faults = ["tables are being recovered"]
    async with served(serving) as url:
        context = await chromium.new_context()
        page = await context.new_page()
        await page.goto(url)
        await expect(page.locator("#empty")).to_contain_text("tables are being recovered")


async def test_it_says_that_the_server_is_starting_and_goes_on(chromium: object) -> None:
    serving = RecordedServing()
    serving.add(ETH, 1_000)
    serving.knows_states = False
    serving.faults = ["partitions are being assigned"]
    async with served(serving) as url:
        context = await chromium.new_context()
        page = await context.new_page()
        await page.goto(url)
        offline = page.locator("#offline")
        await expect(offline).to_contain_text("the server is starting")
        await expect(offline).to_contain_text("partitions are being assigned")
        serving.knows_states = True
        await expect(page.locator("#board tbody tr")).to_have_count(1)
        await expect(offline).to_be_hidden()
        await context.close()


async def test_many_rows_cost_little(open_page: Open, market: RecordedServing) -> None:
    """Where nothing changed, nothing is written: 131 rows, twice a second, all day."""
    serving = copy.copy(market)
    serving.processors = {f"X{n}-PERPETUAL": market.processors[ETH] for n in range(131)}
    state = market.states()[ETH]
    states = {name: copy.copy(state) for name in serving.processors}
    for name, own in states.items():
        own.instrument = name
    serving.states = lambda: states
    async with served(serving) as url:
        watched = await open_page(url, before=without_stream)
        await expect(watched.page.locator("#board tbody tr")).to_have_count(131)
        # The lines of the rows in sight are drawn in one frame, which gives each canvas its size.
        line = watched.page.locator("#board tbody canvas").first
        await expect(line).to_have_attribute("width", re.compile(r"\d+"))
        written = await watched.page.evaluate(
            """async () => {
              let changes = 0;
              new MutationObserver((records) => { changes += records.length; }).observe(
                document.querySelector("#board tbody"),
                { childList: true, subtree: true, characterData: true, attributes: true });
              const polls = () => performance.getEntriesByType("resource")
                .filter((entry) => entry.name.endsWith("/v1/imbalance")).length;
              // On a machine that is so busy that the page becomes stale, begin anew.
              for (let isStale = true; isStale;) {
                const before = polls();
                changes = 0;
                isStale = false;
                while (polls() < before + 2) {
                  isStale ||= document.body.classList.contains("is-offline");
                  await new Promise((done) => setTimeout(done, 50));
                }
              }
              return changes;
            }"""
        )
        assert written == 0
        # A row out of sight is not written, but is right as soon as it is seen.
        last = watched.page.locator("#board tbody tr").last
        for own in states.values():
            own.change_id = 1
        await expect(watched.page.locator("#board tbody tr").first).to_have_attribute(
            "data-change-id", "1"
        )
        assert await last.get_attribute("data-change-id") != "1"
        await last.scroll_into_view_if_needed()
        await expect(last).to_have_attribute("data-change-id", "1")
