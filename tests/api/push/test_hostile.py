"""B21: slow requests, deaf clients and hostile ones get nothing, and others get their answers.

`python -m tests.api.push.load` does the same to a running worker, and measures.
"""

from __future__ import annotations

import asyncio

import pytest

from app.api.site import Limits
from tests.api.push.conftest import BTC, ETH
from tests.api.push.hostile import REQUESTS, Harm, Siege, attack, judge
from tests.api.push.load import hostile_of
from tests.api.recorded import RecordedServing, served, served_with_hub

DEAF = 20
SLOW = 20
ORDINARY_ANSWERS = 40
PATIENCE_S = 60.0


async def test_b21_every_hostile_request_is_refused(market: RecordedServing) -> None:
    async with served(market) as url:
        harm = Harm()
        for request in REQUESTS:
            await asyncio.to_thread(attack, url, request, harm)
        print(harm.statuses)
        assert harm.wrong == []
        assert harm.statuses.total() == len(REQUESTS)
        assert set(harm.statuses) <= {"400", "403", "404", "405", "413", "421", "426", "closed"}


async def test_b21_others_are_answered_meanwhile(market: RecordedServing) -> None:
    async with served_with_hub(market, limits=Limits(max_streams=DEAF)) as (url, hub):
        deaf = []
        for _ in range(DEAF):
            _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.transport.pause_reading()
            writer.write(b"GET /v1/stream HTTP/1.0\r\nHost: localhost\r\n\r\n")
            deaf.append(writer)
        siege = Siege(url, f"/v1/imbalance/{ETH}", SLOW)
        with_siege = asyncio.create_task(asyncio.to_thread(siege.__enter__))
        await with_siege
        async with asyncio.timeout(PATIENCE_S):
            while len(siege.harm.ordinary_ms) < ORDINARY_ANSWERS or len(hub.clients) < DEAF:
                await asyncio.sleep(0.05)
        await asyncio.to_thread(siege.__exit__)
        harm = siege.harm
        for writer in deaf:
            writer.close()
    print(hostile_of(harm))
    assert harm.wrong == harm.ordinary_failed == []
    assert harm.statuses.total() > 0


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b"HTTP/1.1 500 Oops\r\nContent-Type: application/problem+json\r\n\r\n{}", "not refused"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nroot:x:0:0", "not refused"),
        (b"HTTP/1.1 404 No\r\nContent-Type: text/html\r\n\r\n<h1>", "no problem+json"),
        (
            b"HTTP/1.1 400 No\r\nContent-Type: application/problem+json\r\n"
            b"X-Content-Type-Options: nosniff\r\nSet-Cookie: x5s=1\r\n\r\n"
            b'{"status": 400}',
            "is a header",
        ),
    ],
)
def test_the_judge_sees_what_is_wrong(answer: bytes, word: str) -> None:
    harm = Harm()
    judge(f"GET /{BTC}".encode(), answer, harm)
    (told,) = harm.wrong
    assert word in told
