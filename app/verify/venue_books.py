"""The venue's own books, asked for within its limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from app.errors import UserError
from app.verify.live import Claim, NotAnswered, claim_of, decode
from deribit.limits import Limits
from deribit.proxy import proxy_for
from deribit.vocabulary import ErrorCode, Method

DEPTH: Final = 10_000
TIMEOUT_S: Final = 10.0
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
ATTEMPTS: Final = 4
REFUSED_WAIT_S: Final = 2.0
"""After 10028, twice as long each time: the venue has ended the session."""
SHARE: Final = 0.25
"""Share of the venue's credits that is used; workers at the same address need the rest."""


class VenueBooks:
    """One connection to the venue, one question at a time, opened again when it ends."""

    def __init__(self, url: str, limits: Limits | None = None) -> None:
        self.url = url
        self._limits = limits if limits is not None else Limits(SHARE, SHARE)
        self._socket: ClientConnection | None = None
        self._turn = asyncio.Lock()
        self._number = 0
        self._given_up = ""
        """Why no further book is asked for."""

    async def open(self) -> None:
        """Connect; raise UserError if the venue does not answer."""
        try:
            self._socket = await connect(
                self.url,
                open_timeout=TIMEOUT_S,
                max_size=MAX_MESSAGE_BYTES,
                proxy=proxy_for(self.url),
            )
        except (OSError, WebSocketException, ImportError) as error:  # the last: of python-socks
            raise UserError(
                f"the venue at {self.url} (STEELYARD_VENUE_URL) does not answer: {error}"
            ) from error

    async def close(self) -> None:
        """End the connection, if there is one."""
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def __call__(self, name: str) -> Claim | None:
        """Return the venue's own book of an instrument; None if it has none.

        Raises NotAnswered where that cannot be known.
        """
        async with self._turn:
            if self._given_up:
                raise NotAnswered(self._given_up)
            reason = ""
            for attempt in range(ATTEMPTS):
                if attempt:
                    await asyncio.sleep(REFUSED_WAIT_S * 2 ** (attempt - 1))
                try:
                    answer = await self._ask(name)
                except (OSError, TimeoutError, WebSocketException, UserError) as error:
                    reason = f"not answered: {error or type(error).__name__}"
                    await self.close()
                    continue
                if "result" in answer:
                    book = answer["result"]
                    return claim_of(book["bids"], book["asks"], book["change_id"], is_whole=True)
                refusal = answer.get("error", {})
                reason = f"refused: {refusal.get('message')} ({refusal.get('code')})"
                if refusal.get("code") != ErrorCode.TOO_MANY_REQUESTS:
                    raise NotAnswered(reason)
                await self.close()
            self._given_up = reason
            raise NotAnswered(reason)

    async def _ask(self, name: str) -> dict[str, Any]:
        await self._have_credits()
        if self._socket is None:
            await self.open()
        assert self._socket is not None
        self._number += 1
        params = {"instrument_name": name, "depth": DEPTH}
        request = {"jsonrpc": "2.0", "id": self._number, "method": Method.GET_ORDER_BOOK.value}
        async with asyncio.timeout(TIMEOUT_S):
            await self._socket.send(json.dumps(request | {"params": params}))
            while True:
                answer: dict[str, Any] = decode(await self._socket.recv())
                # A refusal for want of credits may come without the number of what it refuses.
                if answer.get("id") == self._number or "error" in answer:
                    return answer

    async def _have_credits(self) -> None:
        now = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._limits.ready_at(Method.GET_ORDER_BOOK, now()) - now()))
        self._limits.spend(Method.GET_ORDER_BOOK, now())


@asynccontextmanager
async def desk(url: str | None) -> AsyncIterator[VenueBooks | None]:
    """Give a connection to the venue, if there is a URL."""
    if url is None:
        yield None
        return
    found = VenueBooks(url)
    await found.open()
    try:
        yield found
    finally:
        await found.close()
