"""One instrument in the browser: numbers, charts, ladder, quality, address, keyboard."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Locator, Page, Route, expect

from app.cli.local_worker import open_direct
from tests.api.recorded import served
from tests.system.browser.conftest import NOTE_STALE, Watched, stale_after_s
from tests.system.browser.modelled import ModelledServing

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

Open = Callable[..., Awaitable[Watched]]
ETH, BTC = "ETH-PERPETUAL", "BTC-PERPETUAL"
STALE_WITHIN_S = 3.0
LADDER_LEVELS = 12
MINUS = "\u2212"


async def api(url: str) -> dict[str, object]:
    return json.loads(await asyncio.to_thread(lambda: open_direct(url, 5).read()))


def figure(page: Page, key: str) -> Locator:
    return page.locator(f'#figures [data-key="{key}"]')


def readout(page: Page, panel: str, field: str) -> Locator:
    return page.locator(f'#panel-{panel} [data-field="{field}"]')


def number(text: str) -> float:
    return float(text.replace(MINUS, "-").removesuffix(" %"))


def rounding(text: str) -> float:
    """Return how far a number may be from a text of so many decimals."""
    return 0.501 * 10 ** -len(text.partition(".")[2])


async def ready(page: Page, windows: int) -> None:
    """Wait until so many windows are drawn."""
    await expect(page.locator("#panels")).to_have_attribute("data-windows", str(windows))


async def test_the_numbers_are_the_apis_at_the_same_change(
    open_page: Open, modelled: ModelledServing
) -> None:
    async with served(modelled) as url:
        page = (watched := await open_page(f"{url}/#instrument={ETH}")).page
        state = (await api(f"{url}/v1/imbalance/{ETH}"))["data"]
        figures = page.locator("#figures")
        await expect(figures).to_have_attribute("data-change-id", str(state["change_id"]))
        for key in ("mid", "weighted_mid", "mark_price", "index_price"):
            text = await figure(page, key).inner_text()
            assert number(text) == pytest.approx(state[key], abs=rounding(text))
            assert await figure(page, key).get_attribute("title") == repr(state[key])
        for key in [name for name in state if name.startswith("imbalance_")]:
            assert number(await figure(page, key).inner_text()) == round(state[key], 3)
        basis = state["mark_price"] - state["index_price"]
        text = await figure(page, "basis").inner_text()
        assert number(text) == pytest.approx(basis, abs=rounding(text))
        assert "SIMULATED" in await page.locator("#simulated").inner_text()

        book = await api(f"{url}/v1/books/{ETH}?depth={LADDER_LEVELS}")
        ladder = page.locator("#ladder")
        await expect(ladder).to_have_attribute("data-change-id", str(book["meta"]["change_id"]))
        for side, rows in (("asks", book["data"]["asks"][::-1]), ("bids", book["data"]["bids"])):
            cells = await ladder.locator(f".{side} tr").evaluate_all(
                "rows => rows.map((row) => [...row.cells].map((cell) => cell.innerText))"
            )
            assert [[float(price), float(size)] for price, size, _ in cells] == [
                [price, float(f"{size:.5g}")] for price, size in rows
            ]
        assert await ladder.locator("[data-unit]").inner_text() == "Size, USD"
        assert watched.errors == []
        assert watched.hosts() == {url.split("/")[2]}


async def test_the_charts_draw_the_windows(open_page: Open, modelled: ModelledServing) -> None:
    async with served(modelled) as url:
        page = (watched := await open_page(f"{url}/#instrument={ETH}")).page
        windows = (await api(f"{url}/v1/windows/{ETH}?length=1s&limit=300"))["data"]
        await ready(page, len(windows))
        await expect(page.locator(".panel")).to_have_count(8)
        for panel, fields in {
            "levels": ("imbalance_1_mean", "imbalance_5_mean", "imbalance_10_mean"),
            "bands": ("imbalance_10bp_mean", "imbalance_25bp_mean", "imbalance_50bp_mean"),
        }.items():
            for field in fields:
                text = await readout(page, panel, field).inner_text()
                assert number(text) == pytest.approx(windows[-1][field], abs=5.1e-4)
        total = sum(window["ofi_usd"] for window in windows if window["ofi_usd"] is not None)
        text = await readout(page, "cumulative", "ofi_cumulative_usd").inner_text()
        assert number(text.removesuffix("k")) * 1e3 == pytest.approx(total, abs=51)

        # Every plot has ink in the colours of its series, besides axes and shading.
        for panel in await page.locator(".panel").all():
            distinct = await panel.locator("canvas").evaluate(
                """(canvas) => {
                  const pen = canvas.getContext("2d");
                  const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
                  const seen = new Map();
                  for (let at = 0; at < data.length; at += 4) {
                    if (data[at + 3] < 255) continue;
                    const key = (data[at] << 16) | (data[at + 1] << 8) | data[at + 2];
                    seen.set(key, (seen.get(key) ?? 0) + 1);
                  }
                  return [...seen.values()].filter((count) => count > 20).length;
                }"""
            )
            assert distinct >= 2, await panel.get_attribute("id")

        # One cursor for all charts: the numbers are those of the window under it.
        await page.locator("#panel-price .u-over").hover(position={"x": 40, "y": 30})
        moved = page.locator('#panel-levels [data-field="imbalance_10_mean"]')
        await expect(moved).not_to_have_text(_signed(windows[-1]["imbalance_10_mean"]))
        shown = number(await moved.inner_text())
        assert any(round(w["imbalance_10_mean"] or 9, 3) == shown for w in windows)
        assert watched.errors == []


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", MINUS)


async def test_a_gap_is_seen(open_page: Open, modelled: ModelledServing) -> None:
    async with served(modelled) as url:
        page = (await open_page(f"{url}/#instrument={BTC}")).page
        windows = (await api(f"{url}/v1/windows/{BTC}?length=1s&limit=300"))["data"]
        await ready(page, len(windows))
        await expect(page.locator("#pill")).to_have_text("gap")
        await expect(page.locator("#ladder-note")).to_contain_text("Not live (gap)")
        await expect(figure(page, "imbalance_10")).to_have_text("–")
        assert [w["status"] for w in windows[-3:]] == ["gap"] * 3
        # Shaded at the right edge, where the last windows are, and not before.
        pixel = """(canvas, share) => {
          const at = canvas.width - 20 - (canvas.width - 76) * share;
          const pen = canvas.getContext("2d");
          const { data } = pen.getImageData(at, 0, 8, canvas.height - 30);
          const inked = data.filter((value, place) => place % 4 === 3 && value > 0).length;
          return inked / (data.length / 4);
        }"""
        canvas = page.locator("#panel-price canvas")
        assert await canvas.evaluate(pixel, 0.04) > 0.9
        assert await canvas.evaluate(pixel, 0.5) < 0.5


async def test_new_windows_arrive(open_page: Open) -> None:
    serving = ModelledServing(2, rate=10.0)
    serving.run(20)
    async with served(serving) as url:
        page = (watched := await open_page(f"{url}/#instrument={ETH}")).page
        panels = page.locator("#panels")
        count = len(serving.closed[ETH, 1_000, None])
        await ready(page, count)
        before = await page.locator("#ladder").get_attribute("data-change-id")
        serving.run(3)
        await ready(page, count + 3)
        await expect(panels).to_have_attribute("data-end", str(serving.last_window[ETH]["end_ms"]))
        await expect(page.locator("#ladder")).not_to_have_attribute("data-change-id", before)
        # Only what is new is asked for.
        asked = [r for r in watched.requests if f"/v1/windows/{ETH}?length=1s&from=" in r]
        assert len(asked) >= 1
        assert watched.errors == []


async def test_stale_within_three_seconds_and_well_again(
    open_page: Open, modelled: ModelledServing
) -> None:
    async with served(modelled) as url:
        page = (await open_page(f"{url}/#instrument={ETH}")).page
        pill = page.locator("#pill")
        await expect(pill).to_have_text("live")
        await ready(page, len(modelled.closed[ETH, 1_000, None]))
        await page.evaluate(NOTE_STALE)
        stopped = time.time()
    await expect(pill).to_have_text("stale")
    assert await stale_after_s(page, stopped) < STALE_WITHIN_S
    await expect(page.locator("#ladder")).to_have_attribute("data-status", "stale")
    assert (await page.title()).startswith("Stale")
    async with served(modelled, port=int(url.rsplit(":", 1)[1])):
        await expect(pill).to_have_text("live")
        await expect(page.locator("#ladder")).to_have_attribute("data-status", "live")


async def test_the_address_reproduces_the_view(open_page: Open, modelled: ModelledServing) -> None:
    async with served(modelled) as url:
        page = (await open_page(url)).page
        await page.locator(f'tr[data-instrument="{ETH}"]').click()
        await expect(page.locator("#name")).to_have_text(ETH)
        await page.locator("#lengths").get_by_text("10 s").click()
        total = len(modelled.closed[ETH, 10_000, None])
        await ready(page, total)
        over = await page.locator("#panel-price .u-over").bounding_box()
        assert over is not None
        await page.mouse.move(over["x"] + over["width"] * 0.86, over["y"] + 40)
        await page.mouse.down()
        await page.mouse.move(over["x"] + over["width"] * 0.94, over["y"] + 40, steps=4)
        await page.mouse.up()
        await expect(page.locator("#follow")).to_be_visible()
        panels, span = page.locator("#panels"), await page.locator("#span").inner_text()
        await expect(panels).not_to_have_attribute("data-windows", str(total))
        shown = int(await panels.get_attribute("data-windows"))
        assert 0 < shown < total
        assert f"instrument={ETH}&length=10s&from=" in page.url

        await page.mouse.move(5, 5)  # away from the charts: then the last window is told
        again = (await open_page(page.url)).page
        await expect(again.locator("#span")).to_have_text(span)
        await ready(again, shown)
        await expect(again.locator("#lengths input:checked")).to_have_value("10s")
        for field in ("mid_close", "weighted_mid_close"):
            same = await readout(page, "price", field).inner_text()
            await expect(readout(again, "price", field)).to_have_text(same)
        await again.locator("#follow").click()
        await ready(again, total)
        assert "from=" not in again.url

        await page.go_back()
        await expect(page.locator("#instrument")).to_be_hidden()
        await expect(page.locator("#board .wide").first).to_be_visible()


async def test_everything_by_keyboard(open_page: Open, modelled: ModelledServing) -> None:
    async with served(modelled) as url:
        page = (watched := await open_page(url)).page
        keyboard, name = page.keyboard, page.locator("#name")
        await keyboard.press("/")
        await keyboard.type("eth")
        await keyboard.press("ArrowDown")
        await keyboard.press("Enter")
        await expect(name).to_have_text(ETH)
        await keyboard.press("]")
        await expect(name).to_have_text("ETH_USDC-PERPETUAL")
        await keyboard.press("[")
        await expect(name).to_have_text(ETH)
        await ready(page, len(modelled.closed[ETH, 1_000, None]))
        await keyboard.press("2")
        await ready(page, len(modelled.closed[ETH, 10_000, None]))
        assert "length=10s" in page.url
        await page.locator("#panels").focus()
        await keyboard.press("ArrowLeft")
        last = json.loads(modelled.closed[ETH, 10_000, None][-1][1])
        await expect(page.locator("#cursor")).to_contain_text(f"mid {last['mid_close']}")
        await keyboard.press("ArrowLeft")
        before = json.loads(modelled.closed[ETH, 10_000, None][-2][1])
        await expect(page.locator("#cursor")).to_contain_text(f"mid {before['mid_close']}")
        await keyboard.press("Escape")
        await expect(page.locator("#instrument")).to_be_hidden()
        assert await page.evaluate("document.activeElement.closest('tr').dataset.instrument") == ETH
        assert watched.errors == []


async def test_what_is_not_there_is_said(open_page: Open, modelled: ModelledServing) -> None:
    async with served(modelled) as url:
        page = (watched := await open_page(f"{url}/#instrument=DOGE-PERPETUAL&length=7s")).page
        await expect(page.locator("#unknown")).to_contain_text("There is no DOGE-PERPETUAL here")
        await expect(page.locator("#panels")).to_be_hidden()
        await page.goto(f"{url}/#instrument=<script>&from=9&to=1&length=x")
        await expect(page.locator("#instrument")).to_be_hidden()
        note, held = page.locator("#windows-note"), asyncio.Event()

        async def hold(route: Route) -> None:
            await held.wait()
            await route.continue_()

        await page.route("**/v1/windows/**", hold)
        await page.goto(f"{url}/#instrument={ETH}&length=7s&from=1000&to=2000")
        await expect(note).to_have_text("Asking for windows…")
        held.set()
        await expect(note).to_contain_text("Of this span nothing is kept")
        await expect(page.locator("#lengths input:checked")).to_have_value("1s")
        refused = [error for error in watched.errors if "404" not in error and "410" not in error]
        assert refused == []
