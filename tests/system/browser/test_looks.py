"""How it looks: each view fits its window, and is kept as a picture.

TEST_PICTURES=docs .venv/bin/python -m pytest tests/system/browser/test_looks.py

renews those in docs/. Look at them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.api.recorded import served
from tests.system.browser.conftest import PICTURES, Watched
from tests.system.browser.modelled import ModelledServing

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

Open = Callable[..., Awaitable[Watched]]
ETH, BTC = "ETH-PERPETUAL", "BTC-PERPETUAL"
MIN_PICTURE_BYTES = 10_000
"""A page without content makes a smaller one."""
LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "page": ("", {"color_scheme": "dark"}),
    "page-light": ("", {"color_scheme": "light"}),
    "page-instrument": (ETH, {"color_scheme": "dark", "viewport": {"width": 1440, "height": 980}}),
    "page-instrument-light": (
        ETH,
        {"color_scheme": "light", "viewport": {"width": 1440, "height": 980}},
    ),
    "page-gap": (BTC, {"color_scheme": "dark", "viewport": {"width": 1440, "height": 980}}),
    "page-narrow": ("", {"color_scheme": "dark", "viewport": {"width": 360, "height": 740}}),
    "page-narrow-instrument": (
        ETH,
        {"color_scheme": "light", "viewport": {"width": 360, "height": 740}},
    ),
    "page-middle": (ETH, {"color_scheme": "light", "viewport": {"width": 1000, "height": 700}}),
}
UNKEPT = "page-middle"


@pytest.mark.parametrize("name", LOOKS)
async def test_looks(open_page: Open, modelled: ModelledServing, tmp_path: Path, name: str) -> None:
    instrument, options = LOOKS[name]
    async with served(modelled) as url:
        address = f"{url}/#instrument={instrument}" if instrument else f"{url}/"
        page = (await open_page(address, reduced_motion="reduce", **options)).page
        if instrument:
            windows = min(len(modelled.closed[instrument, 1_000, None]), 300)
            await expect(page.locator("#panels")).to_have_attribute("data-windows", str(windows))
            await expect(page.locator("#ladder")).not_to_have_attribute("data-change-id", "")
        else:
            rows = page.locator("#board tbody tr")
            await expect(rows).to_have_count(len(modelled.processors))
        if PICTURES and instrument:
            # A strip of one look says nothing: let the book be looked at for a while.
            for _ in range(8):
                change_id = await page.locator("#ladder").get_attribute("data-change-id")
                modelled.run(1)
                if modelled.processors[instrument].instrument.is_live:
                    await expect(page.locator("#ladder")).not_to_have_attribute(
                        "data-change-id", change_id or ""
                    )
        folder = Path(PICTURES) if PICTURES and name != UNKEPT else tmp_path
        picture = folder / f"{name}.png"
        await page.screenshot(path=picture)
        assert picture.stat().st_size > MIN_PICTURE_BYTES
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await page.evaluate(overflow) <= 0
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        is_dark = int(ground.removeprefix("rgb(").split(",")[0]) < 128
        assert is_dark == (options["color_scheme"] == "dark")
