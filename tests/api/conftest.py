"""A worker's read side, built once from the recording; each test may set the clock of its own."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from app.processing.processor import Processor
from app.state.read_model import Owner
from tests.api.recorded import RULES, RecordedServing, served

BTC, ETH = "BTC_USDC-PERPETUAL", "ETH-PERPETUAL"
LOST, WAITING = "LTC_USDC-PERPETUAL", "XRP_USDC-PERPETUAL"


@pytest.fixture(scope="session")
def built() -> RecordedServing:
    serving = RecordedServing()
    serving.add(ETH, 4_000)
    serving.add(BTC, 3_990)
    serving.add(LOST, 3_995, drop=3_000)
    serving.processors[WAITING] = Processor(WAITING, RULES)
    return serving


@pytest.fixture
def serving(built: RecordedServing) -> RecordedServing:
    """Four instruments: inverse and linear, one after a gap, one that is waiting for a book."""
    own = copy.copy(built)
    own.owners = {}
    own.faults = []
    own.processors = dict(built.processors)
    return own


@pytest.fixture
async def url(serving: RecordedServing) -> AsyncIterator[str]:
    async with served(serving) as base:
        yield base


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
def other(built: RecordedServing) -> RecordedServing:
    """A second worker that owns nothing; set its owners to the first one's address."""
    own = copy.copy(built)
    own.worker, own.secret = "worker-2", "the secret of worker-2"
    own.owners = {name: Owner(5, "") for name in built.processors}
    return own
