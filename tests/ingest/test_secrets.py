"""B22: the secret and the tokens made with it are in no log, repr, traceback or record.

Everything is at DEBUG, down to websockets and asyncio; what is searched is all that was said.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deribit.auth import Credentials, Grant
from exchange import Config, Exchange
from tests.deribit.server import ScriptedVenue, usual_answer
from tests.ingest.feed import PATIENCE_S, MemoryFeed, ingesting
from tests.ingest.test_ingest import BTC, book_data

CANARY = "canary-9f3c"
SOCKET_LOG = "steelyard.ingest.socket"


@pytest.fixture
async def said(caplog: pytest.LogCaptureFixture) -> AsyncIterator[pytest.LogCaptureFixture]:
    """Put every logger that there is, and the root, at DEBUG; but not the venue's own."""
    asyncio.get_running_loop().set_debug(True)
    before = {}
    for name in [None, SOCKET_LOG, "websockets.client", *logging.root.manager.loggerDict]:
        logger = logging.getLogger(name)
        before[logger] = logger.level
        logger.setLevel(logging.DEBUG)
    # The simulated venue runs in this process too, and prints what it is sent.
    logging.getLogger("websockets.server").setLevel(logging.WARNING)
    caplog.set_level(logging.DEBUG)
    yield caplog
    for logger, level in before.items():
        logger.setLevel(level)


def everything_of(caplog: pytest.LogCaptureFixture, feed: MemoryFeed, *objects: Any) -> str:
    """Return all that was logged or published, and what the objects show of themselves."""
    logged = [logging.Formatter("%(name)s %(message)s").format(record) for record in caplog.records]
    assert logged
    shown = [repr(one) + str(one) + repr(getattr(one, "__dict__", "")) for one in objects]
    return "\n".join([*logged, *shown, repr(feed.records), repr(feed.refused)])


@pytest.mark.parametrize("grant", [Grant.CLIENT_CREDENTIALS, Grant.CLIENT_SIGNATURE])
async def test_while_all_is_well(said: pytest.LogCaptureFixture, grant: Grant) -> None:
    feed = MemoryFeed()
    key = {"credentials": Credentials("demo", CANARY, grant)}
    config = Config(seed=7, instruments=4, rate=30.0, client_secret=CANARY)
    async with (
        Exchange(config) as venue,
        ingesting(
            venue.url, feed, instruments=[BTC], book_interval="raw", kinds=("book",), client=key
        ) as ingest,
    ):
        await feed.until(lambda: len(book_data(feed, BTC, "raw")) > 3)
        session = ingest.client._session
        text = everything_of(
            said,
            feed,
            ingest,
            ingest.client,
            session,
            session._entrance.login,
            ingest.connections[0],
        )
    assert CANARY not in text


async def test_when_the_key_is_refused(said: pytest.LogCaptureFixture) -> None:
    feed = MemoryFeed()
    key = {"credentials": Credentials("demo", CANARY)}
    async with (
        Exchange(Config(seed=7, instruments=4, rate=30.0)) as venue,
        ingesting(venue.url, feed, client=key) as ingest,
    ):
        async with asyncio.timeout(PATIENCE_S):
            await ingest._crashed.wait()
        reason = ingest.crash_reason
        assert reason is not None
        text = everything_of(said, feed, ingest, reason)
        text += "".join(traceback.format_exception(reason))
    assert "13004" in text
    assert CANARY not in text


async def test_when_the_venue_repeats_it_or_its_answer_is_broken(
    said: pytest.LogCaptureFixture,
) -> None:
    answers = iter(
        [
            {"error": {"code": -32602, "message": f"bad {CANARY}", "data": {"secret": CANARY}}},
            {"result": {"access_token": CANARY, "refresh_token": CANARY, "expires_in": "soon"}},
            {"result": [CANARY, "access_token"]},
        ]
    )

    def answer(request: dict[str, Any]) -> dict[str, Any] | None:
        if request["method"] == "public/auth":
            return next(answers, {"result": {"access_token": CANARY, "expires_in": 900}})
        return usual_answer(request)

    feed = MemoryFeed()
    key = {"credentials": Credentials("demo", CANARY)}
    async with (
        ScriptedVenue(answer) as venue,
        ingesting(venue.url, feed, instruments=[BTC], client=key) as ingest,
    ):
        await asyncio.wait_for(venue.asked("subscribe"), 5)
        await feed.until(lambda: len(feed.refused) == 2)
        text = everything_of(said, feed, ingest)
        assert ingest.client.counts.disconnects["unreadable_answer"] == 2
    assert CANARY not in text
    assert [record["message"] for record in feed.refused] == [
        "(withheld: it may hold a token)",
        "(withheld: it may hold a token)",
    ]
