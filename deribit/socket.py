"""The websocket: how it is opened, and what the ways in which it fails mean."""

from __future__ import annotations

import logging
from typing import Final

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from deribit.events import Reconnect
from deribit.frame_reader import MAX_MESSAGE_BYTES, FastConnection
from deribit.proxy import proxy_for
from deribit.vocabulary import Ending

CLOSE_TIMEOUT_S: Final = 1.0
CROWDED_STATUS: Final = 429
CROWDED_WAIT_S: Final = 10.0
"""The venue answers 429 to the 33rd connection of an address."""
TOO_SLOW_WAIT_S: Final = 5.0
"""Minimum wait before reconnecting after the venue closed us as too slow."""

NOT_OPENED: Final = (OSError, InvalidHandshake, EOFError, ImportError)
"""What opening raises; a timeout is an OSError. The import that fails is of python-socks, in an
environment that `make setup` did not make."""


class _WithoutMessages(logging.LoggerAdapter[logging.Logger]):
    """A logger without DEBUG, at which websockets prints every message: some carry secrets."""

    def isEnabledFor(self, level: int) -> bool:
        """Return whether a level is logged, whatever the logger below was set to."""
        return level > logging.DEBUG and super().isEnabledFor(level)


_log: Final = _WithoutMessages(logging.getLogger("steelyard.ingest.socket"), {})


async def open_socket(url: str) -> FastConnection:
    """Open a websocket; the caller bounds the time. Certificates are always verified."""
    connection = await connect(
        url,
        create_connection=FastConnection,
        compression=None,  # a reader takes messages as they are on the wire
        max_size=MAX_MESSAGE_BYTES,
        open_timeout=None,
        close_timeout=CLOSE_TIMEOUT_S,
        ping_interval=None,  # the session's own probes prove more: that it answers
        proxy=proxy_for(url),
        logger=_log,
    )
    assert isinstance(connection, FastConnection)
    return connection


def why_not_opened(url: str, error: Exception) -> Reconnect:
    """Return what an error of NOT_OPENED means."""
    is_crowded = isinstance(error, InvalidStatus) and error.response.status_code == CROWDED_STATUS
    detail = f"{url}: {error or type(error).__name__}"
    return Reconnect(Ending.NOT_CONNECTED, detail, CROWDED_WAIT_S if is_crowded else 0.0)


def why_closed(error: ConnectionClosed) -> Reconnect:
    """Return what the end of a connection means."""
    if error.rcvd is None:
        return Reconnect(Ending.RESET, str(error))
    if Ending.TOO_SLOW in error.rcvd.reason:
        return Reconnect(Ending.TOO_SLOW, str(error), TOO_SLOW_WAIT_S)
    return Reconnect(Ending.CLOSED, str(error))
