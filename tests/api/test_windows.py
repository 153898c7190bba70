"""/v1/windows: the published bytes, the span that was asked for, and its limits."""

from datetime import UTC, datetime

import pytest
from aiohttp import ClientSession
from yarl import URL

from models.answers import WindowsAnswer
from tests.api.checks import ask, ask_wrongly
from tests.api.recorded import RecordedServing

ETH, WAITING = "ETH-PERPETUAL", "XRP_USDC-PERPETUAL"


def rfc3339(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).isoformat()


async def test_by_default_the_shortest_of_the_last_hour(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    answer = await ask(http, f"{url}/v1/windows/{ETH}", WindowsAnswer)
    published = serving.closed[ETH, 1_000, None]
    assert [window.start_ms for window in answer.data] == [start for start, _ in published]
    assert len(answer.data) > 20
    assert (answer.meta.length_ms, answer.meta.limit) == (1_000, 1_000)
    assert answer.meta.to_ms - answer.meta.from_ms == 3_600_000
    assert not answer.meta.has_earlier


async def test_the_bytes_are_the_published_ones(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    async with http.get(f"{url}/v1/windows/{ETH}?length=10s") as answer:
        body = await answer.read()
    published = b",".join(window for _, window in serving.closed[ETH, 10_000, None])
    assert body.startswith(b'{"ok":true,"data":[' + published + b'],"meta":{')


async def test_a_limit_keeps_the_last(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    starts = [start for start, _ in serving.closed[ETH, 1_000, None]]
    answer = await ask(http, f"{url}/v1/windows/{ETH}?limit=3", WindowsAnswer)
    assert [window.start_ms for window in answer.data] == starts[-3:]
    assert answer.meta.has_earlier
    exact = await ask(http, f"{url}/v1/windows/{ETH}?limit={len(starts)}", WindowsAnswer)
    assert not exact.meta.has_earlier


async def test_a_span_includes_its_start_only(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    starts = [start for start, _ in serving.closed[ETH, 1_000, None]]
    first, last = starts[4], starts[9]
    for span in (
        {"from": str(first), "to": str(last)},
        {"from": rfc3339(first), "to": rfc3339(last)},
        {"from": rfc3339(first).replace("+00:00", "Z"), "to": str(last)},
    ):
        asked = URL(f"{url}/v1/windows/{ETH}").with_query(span)
        answer = await ask(http, asked, WindowsAnswer)
        assert [window.start_ms for window in answer.data] == starts[4:9]
        assert (answer.meta.from_ms, answer.meta.to_ms) == (first, last)


async def test_an_offset_whose_plus_was_not_escaped(http: ClientSession, url: str) -> None:
    span = "from=2024-08-09T01:54:20+02:00&to=2024-08-09T01:54:30%2B02:00"
    async with http.get(URL(f"{url}/v1/windows/{ETH}?{span}", encoded=True)) as answer:
        body = WindowsAnswer.model_validate_json(await answer.read())
    assert body.meta.from_ms == 1_723_161_260_000
    assert len(body.data) == 10


async def test_no_window_yet_is_an_empty_list(http: ClientSession, url: str) -> None:
    answer = await ask(http, f"{url}/v1/windows/{WAITING}?length=1m", WindowsAnswer)
    assert (answer.data, answer.meta.status) == ([], "waiting")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("length=2s", "1s, 10s, 1m"),
        ("length=fast", "is not a duration"),
        ("length=0s", "is not a duration"),
        ("limit=0", "1 to 10000"),
        ("limit=10001", "1 to 10000"),
        ("from=yesterday", "like 2026-01-31T12:00:00Z"),
        ("from=2024-08-09T01:54:20", "like 2026-01-31T12:00:00Z"),  # no offset: whose time?
        ("to=1969-12-31T23:59:59Z", "ms since the epoch"),
        ("to=-1", "ms since the epoch"),
        ("to=9999999999999999", "ms since the epoch"),
        ("from=20&to=10", "not before"),
        ("from=10&to=10", "not before"),
    ],
)
async def test_bad_queries(http: ClientSession, url: str, query: str, told: str) -> None:
    problem = await ask_wrongly(http, f"{url}/v1/windows/{ETH}?{query}", 400)
    assert problem.type == "urn:steelyard:problem:bad-parameter"
    assert told in problem.detail


async def test_what_is_no_longer_kept_is_not_taken_for_nothing(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    windows = serving.closed[ETH, 1_000, None]
    dropped_ms, kept_ms, hole_ms, last_ms = (windows[n][0] for n in (0, 5, 9, -1))
    kept = [window for window in windows[5:] if window[0] != hole_ms]
    serving.closed = {**serving.closed, (ETH, 1_000, None): kept}
    path = f"{url}/v1/windows/{ETH}?length=1s"

    for from_ms, to_ms in ((dropped_ms, kept_ms), (0, dropped_ms), (kept_ms - 1, kept_ms)):
        problem = await ask_wrongly(http, f"{path}&from={from_ms}&to={to_ms}", 410)
        assert problem.type == "urn:steelyard:problem:not-kept"
        assert problem.kept_from_ms == kept_ms
        assert str(kept_ms) in problem.detail

    begun = await ask(http, f"{path}&from={dropped_ms}&to={kept_ms + 1}", WindowsAnswer)
    assert [window.start_ms for window in begun.data] == [kept_ms]
    assert (begun.meta.kept_from_ms, begun.meta.kept_whole) == (kept_ms, False)
    assert not begun.meta.has_earlier

    for from_ms, to_ms in ((hole_ms, hole_ms + 1_000), (last_ms + 1, last_ms + 99_000)):
        nothing = await ask(http, f"{path}&from={from_ms}&to={to_ms}", WindowsAnswer)
        assert nothing.data == []
        assert (nothing.meta.kept_from_ms, nothing.meta.kept_whole) == (kept_ms, True)

    none = await ask(http, f"{url}/v1/windows/{WAITING}", WindowsAnswer)
    assert none.data == []
    assert (none.meta.kept_from_ms, none.meta.kept_whole) == (None, False)


async def test_pages_that_have_expired_since_are_not_taken_for_the_end(
    http: ClientSession, url: str, serving: RecordedServing
) -> None:
    windows = serving.closed[ETH, 1_000, None]
    first = await ask(http, f"{url}/v1/windows/{ETH}?limit=4", WindowsAnswer)
    assert first.meta.next_cursor is not None
    serving.closed = {**serving.closed, (ETH, 1_000, None): windows[-4:]}
    problem = await ask_wrongly(
        http, f"{url}/v1/windows/{ETH}?limit=4&cursor={first.meta.next_cursor}", 410
    )
    assert problem.kept_from_ms == windows[-4][0]
