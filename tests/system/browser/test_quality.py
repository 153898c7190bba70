"""Anybody can use the page, and nothing of it comes from elsewhere or late."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.api.recorded import served
from tests.system.browser.conftest import Watched
from tests.system.browser.modelled import ModelledServing

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

Open = Callable[..., Awaitable[Watched]]
AXE = Path(__file__).parent / "axe" / "axe.min.js"
SOME = re.compile(r"^[1-9]\d*$")
SERIOUS = {"serious", "critical"}
FIRST_PAINT_MS = 1_000
NARROW = {"width": 360, "height": 740}
ETH, BTC = "ETH-PERPETUAL", "BTC-PERPETUAL"
VIEWS = {"overview": "", "instrument": f"#instrument={ETH}", "gap": f"#instrument={BTC}"}


async def settled(page: Page, view: str) -> None:
    """Wait until everything of a view is drawn."""
    if view == "overview":
        await expect(page.locator("#board tbody tr").last).to_be_visible()
    else:
        await expect(page.locator("#panels")).to_have_attribute("data-windows", SOME)
        await expect(page.locator("#ladder")).not_to_have_attribute("data-change-id", "")


async def findings(page: Page) -> list[str]:
    """Return what axe finds serious, with where."""
    # Evaluated by the debugger, to which the page's policy does not apply.
    await page.evaluate(AXE.read_text())
    result: dict[str, Any] = await page.evaluate("axe.run(document)")
    assert len(result["passes"]) > 10
    return [
        f"{one['id']}: {node['html'][:120]} {node['failureSummary']}"
        for one in result["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_axe_finds_nothing_serious(
    open_page: Open, modelled: ModelledServing, scheme: str
) -> None:
    async with served(modelled) as url:
        page = (watched := await open_page(url, color_scheme=scheme)).page
        for view, address in VIEWS.items():
            await page.goto(f"{url}/{address}")
            await settled(page, view)
            assert await findings(page) == [], view
        await page.set_viewport_size(NARROW)
        assert await findings(page) == [], "narrow"
        assert watched.errors == []


async def test_axe_would_find_something(open_page: Open, modelled: ModelledServing) -> None:
    async with served(modelled) as url:
        page = (await open_page(url)).page
        await page.evaluate(
            """() => {
              const find = document.querySelector("#find");
              find.previousElementSibling.remove();
              find.removeAttribute("placeholder");
            }"""
        )
        assert any(found.startswith("label") for found in await findings(page))


async def test_the_first_paint_is_soon(open_page: Open, modelled: ModelledServing) -> None:
    async with served(modelled) as url:
        paints = []
        # The best of some: what is asked is whether the page is light, not whether others are busy.
        for _ in range(3):
            page = (await open_page(f"{url}/#instrument={ETH}")).page
            paints.append(
                await page.evaluate(
                    "performance.getEntriesByName('first-contentful-paint')[0].startTime"
                )
            )
        print(f"first contentful paint after {[round(paint) for paint in paints]} ms")
        assert min(paints) < FIRST_PAINT_MS


@pytest.mark.parametrize("view", VIEWS)
async def test_it_fits_a_telephone(open_page: Open, modelled: ModelledServing, view: str) -> None:
    async with served(modelled) as url:
        page = (await open_page(f"{url}/{VIEWS[view]}", viewport=NARROW, has_touch=True)).page
        await settled(page, view)
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(wide) <= 0
        if view == "overview":
            await page.locator(f'#board tr[data-instrument="{ETH}"]').tap()
        await expect(page.locator("#instrument")).to_be_visible()
        await expect(page.locator("#list")).to_be_hidden()
        await page.locator("#back").tap()
        await expect(page.locator("#list")).to_be_visible()


async def test_nothing_moves_by_itself(open_page: Open, modelled: ModelledServing) -> None:
    async with served(modelled) as url:
        page = (await open_page(f"{url}/#instrument={ETH}", reduced_motion="reduce")).page
        await settled(page, "instrument")
        assert await page.evaluate("document.getAnimations().length") == 0


async def test_colours_can_be_chosen_and_are_kept(
    open_page: Open, modelled: ModelledServing
) -> None:
    async with served(modelled) as url:
        page = (await open_page(f"{url}/#instrument={ETH}", color_scheme="dark")).page
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = await page.evaluate(ground)
        button = page.locator("#colours")
        await button.click()
        await expect(button).to_have_text("Colours: dark")
        assert await page.evaluate(ground) == dark
        await button.click()
        await expect(button).to_have_text("Colours: light")
        light = await page.evaluate(ground)
        assert light != dark
        await page.reload()
        await expect(button).to_have_text("Colours: light")
        assert await page.evaluate(ground) == light


async def test_words_explain_every_chart(open_page: Open, modelled: ModelledServing) -> None:
    async with served(modelled) as url:
        page = (await open_page(f"{url}/#instrument={ETH}")).page
        await expect(page.locator(".panel")).to_have_count(8)
        for summary in await page.locator("#instrument summary").all():
            help_text = summary.locator("xpath=following-sibling::p")
            await expect(help_text).to_be_hidden()
            await summary.focus()
            await page.keyboard.press("Enter")
            await expect(help_text).to_be_visible()
            assert 60 < len(await help_text.inner_text()) < 260
        assert "+1 only bids" in await page.locator(".explanation").inner_text()
