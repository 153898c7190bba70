"""Every status that there is has a mark of its own on the page, and a sentence that explains it."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import expect

from models.status import STATUSES
from tests.api.recorded import RecordedServing, served
from tests.system.browser.conftest import Watched

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

Open = Callable[..., Awaitable[Watched]]
ETH = "ETH-PERPETUAL"
MARK = """pill => getComputedStyle(pill, "::before").content"""


@pytest.fixture
def varied(market: RecordedServing) -> RecordedServing:
    """One instrument in each status."""
    serving = copy.copy(market)
    state = market.states()[ETH]
    states = {}
    for status in STATUSES:
        own = states[f"{status.upper()}-PERPETUAL"] = copy.copy(state)
        own.instrument, own.status = f"{status.upper()}-PERPETUAL", status
    serving.processors = dict.fromkeys(states, market.processors[ETH])
    serving.states = lambda: states
    serving.status_of = lambda state: state.status
    return serving


async def test_each_has_a_mark_a_meaning_and_a_place(
    open_page: Open, varied: RecordedServing
) -> None:
    async with served(varied) as url:
        page = (watched := await open_page(f"{url}/#sort=status")).page
        pills = page.locator("#board tbody .pill")
        await expect(pills).to_have_count(len(STATUSES))
        assert await pills.all_inner_texts() == list(STATUSES)
        marks = [await pill.evaluate(MARK) for pill in await pills.all()]
        assert len(set(marks)) == len(STATUSES), marks
        summary = await page.locator("#summary").inner_text()
        assert summary == " · ".join(f"1 {status}" for status in STATUSES)

        legend = page.locator("#legend")
        await expect(legend).to_be_hidden()
        await page.locator(".explanation summary").click()
        await expect(legend).to_be_visible()
        assert await legend.locator(".pill").all_inner_texts() == list(STATUSES)
        meanings = await legend.locator("dd").all_inner_texts()
        assert len(set(meanings)) == len(STATUSES)

        for status, pill, meaning in zip(STATUSES, await pills.all(), meanings, strict=True):
            await pill.hover()
            cell = pill.locator("xpath=..")
            await expect(cell).to_have_attribute("title", meaning)
            assert len(meaning) > len(status)
        assert watched.errors == []
