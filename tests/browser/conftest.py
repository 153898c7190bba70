"""Debian's chromium on a real server; console errors and requests are kept for the tests."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.views.recorded import RecordedServing

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]
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
    """Open an address in a new window, with playwright's options for it."""

    contexts: list[BrowserContext] = []

    async def opened(url: str, **options: Any) -> Watched:
        context = await chromium.new_context(**{"viewport": WIDE, **options})
        contexts.append(context)
        context.set_default_timeout(10_000)
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
        await page.goto(url)
        await page.locator("tbody tr").first.wait_for(state="attached")
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
        serving.add(f"{name}-PERPETUAL", 2_600 - 70 * place)
    serving.add("LTC_USDC-PERPETUAL", 2_500, drop=2_000)
    return serving
