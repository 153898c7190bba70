"""B21 as a person sees it: a worker is killed, the page says so within 3 s, and heals by itself.

Real workers, a real broker and two pages that are never reloaded: one is served by the worker that
is killed, the other by the one that takes over. The pages note the times themselves.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from playwright.async_api import Page, expect

from app.embedded_kafka import EmbeddedBroker
from tests.harness.group import running_group
from tests.harness.pipeline import Pipeline, Worker
from tests.harness.venue import perpetuals
from tests.system.browser.conftest import NOTE_STALE, Watched, stale_after_s

pytestmark = [
    pytest.mark.browser,
    pytest.mark.broker,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(300),
]

Open = Callable[..., Awaitable[Watched]]
INSTRUMENTS = 8
PARTITIONS = 4
READY_S = 90.0
HEALED_S = 90.0
STALE_WITHIN_S = 3.0
PUSHED_WITHIN_S = 1.0
"""From a row's age reaching the limit to its being seen: a state is looked at 20 times a second."""
REFUSED = (
    "Failed to load resource: net::ERR_",
    "Failed to load resource: the server responded with a status of 503",
)
ROWS = "#board tbody tr"
NOTE_ROWS = """() => {
  window.lostAt = {};
  const note = () => {
    for (const { dataset } of document.querySelectorAll("#board tbody tr")) {
      if (dataset.status !== "live") window.lostAt[dataset.instrument] ??= Date.now();
    }
  };
  new MutationObserver(note).observe(document.querySelector("#board tbody"),
    { subtree: true, attributes: true, attributeFilter: ["data-status"] });
}"""


@pytest.fixture
def group(
    broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Pipeline, Worker, Worker]]:
    """Two workers that share the simulated exchange's instruments, both ready."""
    with running_group(
        broker,
        tmp_path_factory.mktemp("killed"),
        name="killed",
        workers=2,
        partitions=PARTITIONS,
        exchange=("--instruments", str(INSTRUMENTS), "--rate", "60", "--seed", "7"),
        ready_s=READY_S,
    ) as (pipeline, (killed, survivor)):
        yield pipeline, killed, survivor


async def all_live(page: Page, timeout_s: float) -> None:
    """Wait until there are all rows, and each of them is live."""
    await expect(page.locator(ROWS)).to_have_count(INSTRUMENTS, timeout=timeout_s * 1_000)
    lost = page.locator(f'{ROWS}:not([data-status="live"])')
    await expect(lost).to_have_count(0, timeout=timeout_s * 1_000)


async def test_b21_a_killed_worker_shows_within_3_s_and_heals_by_itself(
    open_page: Open, group: tuple[Pipeline, Worker, Worker]
) -> None:
    pipeline, killed, survivor = group
    names = await asyncio.to_thread(perpetuals, pipeline.venue_url)
    its_page, others_page = await open_page(killed.url), await open_page(survivor.url)
    for watched in (its_page, others_page):
        await all_live(watched.page, READY_S)
    _, answer = await asyncio.to_thread(survivor.get, "/v1/imbalance")
    owned = {row["instrument"] for row in answer["data"] if row["worker"] == killed.name}
    assert set() < owned < set(names), "the workers do not share the instruments: no proof"
    await its_page.page.evaluate(NOTE_STALE)
    await others_page.page.evaluate(NOTE_ROWS)

    killed_at = time.time()
    killed.kill()

    # Served by the killed worker: nothing on the page is current any more.
    its_stale_s = await stale_after_s(its_page.page, killed_at)
    assert its_stale_s < STALE_WITHIN_S
    pills = its_page.page.locator("#board .pill")
    assert set(await pills.all_inner_texts()) == {"stale"}

    # Served by the other: what it owned is not called live, the rest stays so.
    every = "names => names.every((name) => name in window.lostAt)"
    await others_page.page.wait_for_function(every, arg=sorted(owned))
    lost_at = await others_page.page.evaluate("window.lostAt")
    lost_s = {name: lost_at[name] / 1_000 - killed_at for name in owned}
    limit_s = pipeline.installation.stale_after_ms / 1_000 + PUSHED_WITHIN_S
    assert max(lost_s.values()) < limit_s

    await all_live(others_page.page, HEALED_S)
    others_healed_s = time.time() - killed_at
    _, answer = await asyncio.to_thread(survivor.get, "/v1/imbalance")
    assert {row["worker"] for row in answer["data"]} == {survivor.name}

    killed.start()  # as a supervisor does
    await all_live(its_page.page, HEALED_S)
    await expect(its_page.page.locator("#offline")).to_be_hidden()
    figures = {
        "its_page_stale_after_s": round(its_stale_s, 2),
        "rows_stale_after_s": [round(seconds, 2) for seconds in sorted(lost_s.values())],
        "others_page_healed_after_s": round(others_healed_s, 1),
        "its_page_healed_after_s": round(time.time() - killed_at, 1),
    }
    print(json.dumps(figures))
    for watched, worker in ((its_page, killed), (others_page, survivor)):
        # What is refused, or not ready yet, the browser itself tells the console.
        assert {each for each in watched.errors if not each.startswith(REFUSED)} == set()
        assert watched.hosts() == {worker.url.split("/")[2]}
        is_the_same = "'staleAt' in window || 'lostAt' in window"  # a reload would forget them
        assert await watched.page.evaluate(is_the_same)
