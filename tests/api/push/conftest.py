"""A served market whose clock and instruments a test moves, and its hub."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import ClientSession

from app.api.push.hub import Hub
from app.api.site import Limits
from tests.api.recorded import RecordedServing, served_with_hub

BTC, ETH, LOST = "BTC_USDC-PERPETUAL", "ETH-PERPETUAL", "LTC_USDC-PERPETUAL"
MAX_STREAMS = 60


@dataclass
class Site:
    """A worker's views, served."""

    url: str
    hub: Hub
    serving: RecordedServing


@pytest.fixture(scope="session")
def market() -> RecordedServing:
    serving = RecordedServing()
    serving.add(ETH, 2_000)
    serving.add(BTC, 1_900)
    serving.add(LOST, 1_950, drop=1_500)
    return serving


@pytest.fixture
async def site(market: RecordedServing) -> AsyncIterator[Site]:
    """Three instruments; a test may play none of the recording, but change states as it likes."""
    serving = copy.copy(market)
    states = market.states()
    serving.states = lambda: dict(states)
    serving.changing = states
    limits = Limits(max_streams=MAX_STREAMS)
    async with served_with_hub(serving, limits=limits) as (url, hub):
        yield Site(url, hub, serving)


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session
