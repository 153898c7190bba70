"""/v1/instruments and /v1/imbalance: the numbers are the books', the quality is of now."""

import msgspec
import pytest
from aiohttp import ClientSession

from models.answers import ImbalanceAnswer, ImbalanceRow, ImbalancesAnswer, InstrumentsAnswer
from models.live import LiveState
from orderbook.measures import imbalance
from tests.api.checks import ask, ask_wrongly
from tests.api.recorded import RecordedServing

BTC, ETH = "BTC_USDC-PERPETUAL", "ETH-PERPETUAL"
LOST, WAITING = "LTC_USDC-PERPETUAL", "XRP_USDC-PERPETUAL"


def test_the_schema_has_every_field_of_the_state():
    assert set(ImbalanceRow.model_fields) == {
        *LiveState.__struct_fields__,
        *("age_ms", "heard_ms"),
    }


async def test_instruments(http: ClientSession, url: str) -> None:
    answer = await ask(http, f"{url}/v1/instruments", InstrumentsAnswer)
    rows = {row.instrument: row for row in answer.data}
    assert list(rows) == sorted([BTC, ETH, LOST, WAITING])
    assert (rows[ETH].linear, rows[ETH].size_unit) == (False, "USD")
    assert (rows[BTC].linear, rows[BTC].size_unit) == (True, "BTC")
    assert rows[LOST].status == "gap"
    assert rows[LOST].gaps == 1
    assert answer.meta.lengths_ms == [1_000, 10_000, 60_000]
    assert answer.meta.status == "waiting"  # the worst of them


async def test_one_instrument_is_the_book(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    answer = await ask(http, f"{url}/v1/imbalance/{ETH}", ImbalanceAnswer)
    book = serving.processors[ETH].instrument.book
    bids, asks = book.bids.top(5), book.asks.top(5)
    expected = imbalance(sum(size for _, size in bids), sum(size for _, size in asks))
    assert answer.data.imbalance_5 == expected
    assert answer.data.mid == (bids[0][0] + asks[0][0]) / 2e8
    assert answer.meta.change_id == answer.data.change_id == book.change_id
    assert answer.meta.venue_ts_ms == book.timestamp_ms
    assert answer.meta.status == answer.data.status == "live"
    assert answer.meta.worker == "worker-1"


async def test_flow_is_the_last_closed_window(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    data = (await ask(http, f"{url}/v1/imbalance/{ETH}", ImbalanceAnswer)).data
    _, window = serving.closed[ETH, 1_000, None][-1]
    last = msgspec.json.decode(window)
    assert (data.window_end_ms, data.window_length_ms) == (last["end_ms"], 1_000)
    assert data.ofi_usd == last["ofi_usd"]
    assert data.trade_flow_usd == last["trade_flow_usd"]


async def test_what_is_old_is_stale(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    before = await ask(http, f"{url}/v1/imbalance/{ETH}", ImbalanceAnswer)
    serving.clock_ms += 5_000
    after = await ask(http, f"{url}/v1/imbalance/{ETH}", ImbalanceAnswer)
    assert (before.meta.status, after.meta.status) == ("live", "stale")
    assert (before.data.status, after.data.status) == ("live", "stale")
    assert after.meta.age_ms == before.meta.age_ms + 5_000
    assert after.data.imbalance_10 == before.data.imbalance_10


async def test_a_clock_that_is_behind_gives_no_negative_age(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    serving.clock_ms -= 60_000
    assert (await ask(http, f"{url}/v1/imbalance/{ETH}", ImbalanceAnswer)).meta.age_ms == 0


async def test_a_gap_and_no_book_are_null_not_zero(http: ClientSession, url: str) -> None:
    lost = await ask(http, f"{url}/v1/imbalance/{LOST}", ImbalanceAnswer)
    waiting = await ask(http, f"{url}/v1/imbalance/{WAITING}", ImbalanceAnswer)
    assert (lost.meta.status, waiting.meta.status) == ("gap", "waiting")
    for data in (lost.data, waiting.data):
        assert data.mid is data.imbalance_1 is data.imbalance_10 is data.spread_bp is None
    assert waiting.meta.age_ms is waiting.meta.change_id is waiting.data.received_ms is None


async def test_all_in_one_answer(http: ClientSession, url: str) -> None:
    everything = await ask(http, f"{url}/v1/imbalance", ImbalancesAnswer)
    single = await ask(http, f"{url}/v1/imbalance/{BTC}", ImbalanceAnswer)
    assert [row.instrument for row in everything.data] == sorted([BTC, ETH, LOST, WAITING])
    assert everything.data[0] == single.data


async def test_filter_and_sort(http: ClientSession, url: str) -> None:
    async def names(query: str) -> list[str]:
        answer = await ask(http, f"{url}/v1/imbalance?{query}", ImbalancesAnswer)
        return [row.instrument for row in answer.data]

    assert await names(f"instruments={ETH},{WAITING}") == [ETH, WAITING]
    assert await names("sort=-instrument") == [WAITING, LOST, ETH, BTC]
    imbalances = {
        row.instrument: row.imbalance_10
        for row in (await ask(http, f"{url}/v1/imbalance", ImbalancesAnswer)).data
    }
    assert imbalances[BTC] != imbalances[ETH]
    known = sorted([BTC, ETH], key=lambda name: imbalances[name])
    assert await names("sort=imbalance_10") == [*known, LOST, WAITING]
    assert await names("sort=-imbalance_10") == [*reversed(known), LOST, WAITING]


@pytest.mark.parametrize(
    ("query", "kind", "told"),
    [
        ("sort=imbalance_6", "bad-parameter", "did you mean imbalance_"),
        ("sort=", "bad-parameter", "sort"),
        ("instruments=", "bad-instrument", "''"),
        ("instruments=eth-perpetual", "bad-instrument", "capitals"),
        ("instruments=" + ",".join(f"X{n}" for n in range(501)), "bad-parameter", "500"),
        ("instrument=ETH-PERPETUAL", "unknown-parameter", "instruments"),
        ("sort=mid&sort=mid", "bad-parameter", "twice"),
    ],
)
async def test_bad_queries(http: ClientSession, url: str, query: str, kind: str, told: str) -> None:
    problem = await ask_wrongly(http, f"{url}/v1/imbalance?{query}", 400)
    assert problem.type == f"urn:steelyard:problem:{kind}"
    assert told in problem.detail


async def test_unknown_instruments_get_a_suggestion(http: ClientSession, url: str) -> None:
    for path in ("imbalance/BTC-PERPETUAL", "books/BTC-PERPETUAL", "windows/BTC-PERPETUAL"):
        problem = await ask_wrongly(http, f"{url}/v1/{path}", 404)
        assert problem.did_you_mean[0] == BTC
        assert problem.instance == f"/v1/{path}"
    problem = await ask_wrongly(http, f"{url}/v1/imbalance?instruments={ETH},BTC-PERPETUAL", 404)
    assert BTC in problem.did_you_mean
    assert (await ask_wrongly(http, f"{url}/v1/imbalance/Q0", 404)).did_you_mean == []


async def test_before_the_first_state_nothing_is_unknown(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    serving.processors = {}
    problem = await ask_wrongly(http, f"{url}/v1/imbalance/{ETH}", 503)
    assert problem.type == "urn:steelyard:problem:not-ready"
    empty = await ask(http, f"{url}/v1/imbalance", ImbalancesAnswer)
    assert (empty.data, empty.meta.status) == ([], "waiting")


async def test_etag_lasts_until_the_book_or_its_status_changes(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    async with http.get(f"{url}/v1/imbalance/{ETH}") as answer:
        tag = answer.headers["ETag"]
    held = {"If-None-Match": tag}
    async with http.get(f"{url}/v1/imbalance/{ETH}", headers=held) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    async with http.get(f"{url}/v1/imbalance/{BTC}", headers=held) as answer:
        assert answer.status == 200
    serving.clock_ms += 5_000  # now stale
    async with http.get(f"{url}/v1/imbalance/{ETH}", headers=held) as answer:
        assert answer.status == 200


async def test_simulated_says_so(http: ClientSession) -> None:
    from tests.api.recorded import served

    serving = RecordedServing(simulated=True)
    serving.add(ETH, 10)
    async with served(serving) as url:
        answer = await ask(http, f"{url}/v1/imbalance", ImbalancesAnswer)
    assert answer.meta.simulated
    assert all(row.simulated for row in answer.data)
