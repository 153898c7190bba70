"""Debian's chromium on a real server; console errors and requests are kept for the tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.api.recorded import RecordedServing
from tests.system.browser.modelled import ModelledServing

PICTURES = os.environ.get("TEST_PICTURES")
"""A folder to keep screenshots in, of a larger market: docs/ has those of the last time."""
CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MS = 20_000
"""Of a wait for what will come; only a machine that is busy with other tests needs so long."""
expect.set_options(timeout=TIMEOUT_MS)
WIDE = {"width": 1360, "height": 760}
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class Watched:
    """A page, and what it did that it must not do."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def hosts(self) -> set[str]:
        return {request.split("/")[2] for request in self.requests if "://" in request}


NOTE_STALE = """() => {
  const notice = document.querySelector("#offline");
  new MutationObserver(() => {
    if (notice.hidden || window.staleAt) return;
    window.staleAt = Date.now();
    window.staleSaid = Number(notice.textContent.match(/for (\\d+) s/)[1]);
  }).observe(notice, { attributes: true });
}"""


async def stale_after_s(page: Page, stopped_s: float) -> float:
    """Return how long after a moment the page said that it is stale; it was told NOTE_STALE.

    The page notes the time by itself: how soon the test looks does not count.
    """
    await expect(page.locator("#offline")).to_be_visible()
    return await page.evaluate("window.staleAt") / 1000 - stopped_s


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(chromium: Browser) -> AsyncIterator[Callable[..., Awaitable[Watched]]]:
    """Open an address in a new window, with playwright's options for it; `before` prepares it."""

    contexts: list[BrowserContext] = []

    async def opened(
        url: str, before: Callable[[Page], Awaitable[None]] | None = None, **options: Any
    ) -> Watched:
        context = await chromium.new_context(**{"viewport": WIDE, **options})
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        await context.add_init_script(REPORT_VIOLATIONS)
        watched = Watched(await context.new_page())
        page = watched.page
        page.on("request", lambda request: watched.requests.append(request.url))
        page.on("pageerror", lambda error: watched.errors.append(str(error)))
        page.on(
            "console",
            lambda message: (
                watched.errors.append(message.text)
                if message.type in ("error", "warning")
                else None
            ),
        )
        if before is not None:
            await before(page)
        await page.goto(url)
        await page.locator("#board tbody tr").first.wait_for(state="attached")
        return watched

    yield opened
    for context in contexts:
        await context.close()


@pytest.fixture(scope="session")
def market() -> RecordedServing:
    """Instruments that all differ, one after a gap; tests read it only."""
    serving = RecordedServing(simulated=True)
    names = ["ADA_USDC", "BTC", "BTC_USDC", "ETH", "SOL_USDC", "XRP_USDC"]
    for place, name in enumerate(names):
        serving.add(f"{name}-PERPETUAL", 1_400 - 70 * place)
    serving.add("LTC_USDC-PERPETUAL", 1_300, drop=1_000)
    return serving


@pytest.fixture(scope="session")
def modelled() -> ModelledServing:
    """A modelled venue: one instrument had a gap and is well again, one is in it; read only."""
    is_for_show = PICTURES is not None
    instruments, rate, seconds = (10, 40.0, 90) if is_for_show else (6, 30.0, 50)
    serving = ModelledServing(instruments, rate)
    serving.run(seconds)
    serving.lose("ETH-PERPETUAL")
    serving.run(12)
    serving.resync("ETH-PERPETUAL")
    serving.run(seconds)
    serving.lose("BTC-PERPETUAL")
    serving.run(10)
    return serving
