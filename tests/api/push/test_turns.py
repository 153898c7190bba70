"""The hub looks in turns: others run between two rows, and what comes meanwhile is the last."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.api.envelope import encode_row
from app.api.push import hub as hub_module
from app.api.push.conflation import EVERY_STATE
from faust_exact import time_slice as turns
from tests.api.push.conftest import BTC, ETH, LOST, Site
from tests.api.push.reading import PATIENCE_S
from tests.api.push.test_stream import change


async def test_others_have_their_turns_and_the_last_state_is_pushed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = site.hub.join(frozenset({EVERY_STATE}))
    await client.next()
    done: list[Any] = []

    def encoded(*row: Any) -> bytes:
        name = row[1].instrument
        if not done:
            asyncio.get_running_loop().call_soon(meanwhile)
        done.append((name, row[1].mid))
        return encode_row(*row)

    def meanwhile() -> None:
        done.append("another's turn")
        del site.serving.changing[LOST]
        change(site, ETH, 4.5)

    monkeypatch.setattr(turns, "TURN_S", 0.0)
    monkeypatch.setattr(hub_module, "encode_row", encoded)
    for name in (BTC, ETH, LOST):
        change(site, name, 3.5)
    async with asyncio.timeout(PATIENCE_S):
        while (ETH, 4.5) not in done or client.given != site.hub.latest.number:
            await client.next()
    assert done[1] == "another's turn"
    newest = {message.key.instrument: message.payload for message in site.hub.latest.newer(0)}
    assert newest[LOST] is None
    assert b'"mid":4.5' in (newest[ETH] or b"")
    assert b'"mid":3.5' in (newest[BTC] or b"")
    site.hub.leave(client)


async def test_nothing_new_is_no_work_but_age_is_seen(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = dict(site.serving.changing)
    site.serving.states = lambda: states  # the same object, as a worker's are
    asked: list[float] = []
    status_of, now = site.serving.status_of, asyncio.get_running_loop().time
    site.serving.status_of = lambda state: (asked.append(now()), status_of(state))[1]
    client = site.hub.join(frozenset({EVERY_STATE}))
    await client.next()
    asked.clear()
    began = now()
    async with asyncio.timeout(PATIENCE_S):
        while len(asked) < 3 * len(states):
            await asyncio.sleep(0.01)
    assert now() - began >= 2 * hub_module.AGEING_S, "it compared more often than it has to"
    site.serving.clock_ms += site.serving.stale_after_ms + 1_000
    async with asyncio.timeout(PATIENCE_S):
        while b'"status":"stale"' not in (await client.next()).sse:
            pass
    site.hub.leave(client)
