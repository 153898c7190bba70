"""/v1/quality, max_age_ms, and the pages of /v1/windows."""

import pytest
from aiohttp import ClientSession
from yarl import URL

from models.answers import ImbalanceAnswer, QualityAnswer, WindowsAnswer
from tests.api.checks import ask, ask_wrongly
from tests.api.recorded import RecordedServing

BTC, ETH = "BTC_USDC-PERPETUAL", "ETH-PERPETUAL"
LOST, WAITING = "LTC_USDC-PERPETUAL", "XRP_USDC-PERPETUAL"


async def test_quality(http: ClientSession, url: str, serving: RecordedServing) -> None:
    answer = await ask(http, f"{url}/v1/quality?sort=-gaps", QualityAnswer)
    assert answer.data[0].instrument == LOST
    assert answer.data[0].gaps == 1
    assert answer.meta.statuses == {"live": 2, "gap": 1, "waiting": 1}
    one = await ask(http, f"{url}/v1/quality?instruments={ETH}", QualityAnswer)
    assert one.data[0].change_id == serving.processors[ETH].instrument.book.change_id
    problem = await ask_wrongly(http, f"{url}/v1/quality?sort=gap", 400)
    assert "did you mean gaps?" in problem.detail


@pytest.mark.parametrize(
    "path", ["imbalance/{}", "books/{}", "windows/{}", "imbalance?instruments={}"]
)
async def test_rather_no_number_than_an_old_one(
    http: ClientSession, url: str, serving: RecordedServing, path: str
) -> None:
    age = (await ask(http, f"{url}/v1/imbalance/{ETH}", ImbalanceAnswer)).meta.age_ms
    asked = f"{url}/v1/{path.format(ETH)}{'&' if '?' in path else '?'}max_age_ms="
    for limit, status in ((age, 200), (age - 1, 503), (0, 503)):
        async with http.get(asked + str(limit)) as answer:
            assert answer.status == status
    serving.clock_ms += 10_000
    problem = await ask_wrongly(http, asked + "9000", 503)
    assert problem.type == "urn:steelyard:problem:too-old"
    assert ETH in problem.detail
    assert "stale" in problem.detail
    for wrong in ("-1", "1.5", "", "1e3", str(10**9)):
        assert "max_age_ms" in (await ask_wrongly(http, asked + wrong, 400)).detail


async def test_what_has_no_book_is_never_young_enough(http: ClientSession, url: str) -> None:
    for name in (LOST, WAITING):
        await ask_wrongly(http, f"{url}/v1/imbalance/{name}?max_age_ms=86400000", 503)
    problem = await ask_wrongly(http, f"{url}/v1/imbalance?max_age_ms=86400000", 503)
    assert LOST in problem.detail
    assert WAITING in problem.detail


async def test_an_old_number_is_not_confirmed_either(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    async with http.get(f"{url}/v1/imbalance/{ETH}") as answer:
        held = {"If-None-Match": answer.headers["ETag"]}
    await ask_wrongly(http, f"{url}/v1/imbalance/{ETH}?max_age_ms=0", 503, headers=held)


async def test_pages_together_are_the_whole(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    starts = [start for start, _ in serving.closed[ETH, 1_000, None]]
    collected: list[int] = []
    asked, pages = f"{url}/v1/windows/{ETH}?limit=7", 0
    while True:
        answer = await ask(http, asked, WindowsAnswer)
        collected = [window.start_ms for window in answer.data] + collected
        pages += 1
        assert answer.meta.has_earlier == (answer.meta.next_cursor is not None)
        if answer.meta.next_cursor is None:
            break
        asked = f"{url}/v1/windows/{ETH}?limit=7&cursor={answer.meta.next_cursor}"
    assert collected == starts
    assert pages == -(-len(starts) // 7)


async def test_a_cursor_remembers_the_question(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    starts = [start for start, _ in serving.closed[ETH, 10_000, None]]
    asked = URL(f"{url}/v1/windows/{ETH}?length=10s&limit=1").update_query({"from": starts[0]})
    first = await ask(http, asked, WindowsAnswer)
    cursor = first.meta.next_cursor
    second = await ask(http, f"{url}/v1/windows/{ETH}?limit=1&cursor={cursor}", WindowsAnswer)
    assert second.data[0].start_ms == starts[-2]
    assert second.meta.length_ms == 10_000
    for wrong in (
        f"{ETH}?cursor={cursor}&length=1s",
        f"{ETH}?cursor={cursor}&to=5",
        f"{BTC}?cursor={cursor}",
        f"{ETH}?cursor={cursor[:-3]}",
        f"{ETH}?cursor=" + "A" * 300,
        f"{ETH}?cursor=%00",
        f"{ETH}?cursor=",
    ):
        problem = await ask_wrongly(http, URL(f"{url}/v1/windows/{wrong}", encoded=True), 400)
        assert problem.detail.startswith("parameter cursor: ")


async def test_the_default_span_is_what_is_kept_but_a_day(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    for length, hours in (("1s", 1), ("10s", 10), ("1m", 24)):
        answer = await ask(http, f"{url}/v1/windows/{ETH}?length={length}", WindowsAnswer)
        assert answer.meta.to_ms - answer.meta.from_ms == hours * 3_600_000
