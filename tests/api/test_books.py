"""/v1/books: the levels, best first, and what is said while there is no book."""

import pytest
from aiohttp import ClientSession

from models.answers import BookAnswer
from orderbook.units import UNIT
from tests.api.checks import ask, ask_wrongly
from tests.api.recorded import RecordedServing

ETH, LOST, WAITING = "ETH-PERPETUAL", "LTC_USDC-PERPETUAL", "XRP_USDC-PERPETUAL"


async def test_levels(http: ClientSession, url: str, serving: RecordedServing) -> None:
    answer = await ask(http, f"{url}/v1/books/{ETH}", BookAnswer)
    book = serving.processors[ETH].instrument.book
    assert answer.data.bids == [(p / UNIT, s / UNIT) for p, s in book.bids.top(20)]
    assert answer.data.asks == [(p / UNIT, s / UNIT) for p, s in book.asks.top(20)]
    assert answer.data.bid_levels == len(book.bids) > 20
    assert answer.meta.change_id == book.change_id


@pytest.mark.parametrize("depth", [1, 1_000])
async def test_depth(http: ClientSession, url: str, serving: RecordedServing, depth: int) -> None:
    data = (await ask(http, f"{url}/v1/books/{ETH}?depth={depth}", BookAnswer)).data
    assert len(data.bids) == min(depth, len(serving.processors[ETH].instrument.book.bids))
    assert data.depth == depth


@pytest.mark.parametrize("depth", ["0", "1001", "-1", "1.5", "", "abc", "1e3", "٣", "9" * 30])
async def test_bad_depth(http: ClientSession, url: str, depth: str) -> None:
    problem = await ask_wrongly(http, f"{url}/v1/books/{ETH}?depth={depth}", 400)
    assert problem.detail.startswith("parameter depth: ")
    assert "1 to 1000" in problem.detail


async def test_a_misspelt_parameter_is_not_ignored(http: ClientSession, url: str) -> None:
    problem = await ask_wrongly(http, f"{url}/v1/books/{ETH}?dept=3", 400)
    assert problem.did_you_mean == ["depth"]


async def test_no_book_yet(http: ClientSession, url: str) -> None:
    answer = await ask(http, f"{url}/v1/books/{WAITING}", BookAnswer)
    assert answer.meta.status == "waiting"
    assert answer.data.bids is answer.data.asks is answer.data.bid_levels is None


async def test_a_book_after_a_gap_is_not_served_as_live(http: ClientSession, url: str) -> None:
    assert (await ask(http, f"{url}/v1/books/{LOST}", BookAnswer)).meta.status == "gap"


async def test_owned_but_not_here_yet_is_recovering(
    http: ClientSession, url: str, serving: RecordedServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The global table knows the instrument as live, the book's own table is still being read.
    monkeypatch.setattr(serving, "book", lambda name, depth: None)
    answer = await ask(http, f"{url}/v1/books/{ETH}", BookAnswer)
    assert answer.meta.status == "recovering"
    assert answer.meta.change_id is answer.data.bids is None


async def test_etag_depends_on_the_depth(http: ClientSession, url: str) -> None:
    async with http.get(f"{url}/v1/books/{ETH}?depth=5") as answer:
        tag = answer.headers["ETag"]
    held = {"If-None-Match": tag}
    async with http.get(f"{url}/v1/books/{ETH}?depth=5", headers=held) as answer:
        assert answer.status == 304
    async with http.get(f"{url}/v1/books/{ETH}?depth=6", headers=held) as answer:
        assert answer.status == 200
