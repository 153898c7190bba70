"""Who may ask: with a token set, those who know it; without one, programs of this machine.

The token comes as `Authorization: Bearer TOKEN`, or as the password of HTTP Basic, because that is
what a browser can send for a page, its event stream and its WebSocket. Without a token the views
are bound to loopback, where a page of another site is the danger: by a name that its owner points
at 127.0.0.1 it would become one of ours, so only names of this machine are answered.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final

from aiohttp import web

from app.api.problems import Problem, shown
from deribit.hosts import is_loopback

CHALLENGE: Final = 'Bearer realm="steelyard", Basic realm="steelyard", charset="UTF-8"'


class Access:
    """The check of every request: `token` to be known, or only local names to be asked by."""

    def __init__(self, token: str | None = None, *, is_local: bool = True) -> None:
        self.token = token
        self._is_local = is_local

    def check(self, request: web.Request) -> None:
        """Raise a problem if the request may not be answered."""
        if self.token is not None:
            self._check_token(self.token.encode(), request.headers.get("Authorization", ""))
        elif self._is_local:
            _check_host(request.host)

    @staticmethod
    def _check_token(token: bytes, authorization: str) -> None:
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer":
            offered = given.strip().encode("utf-8", "surrogateescape")
        elif scheme.lower() == "basic":
            offered = _password(given)
        else:
            offered = b""
        # In constant time: the time of an answer must not tell how much of a guess is right.
        if not hmac.compare_digest(offered, token):
            detail = "this server wants its token: Authorization: Bearer …"
            raise Problem(401, "token-needed", detail, headers={"WWW-Authenticate": CHALLENGE})


def _password(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def _check_host(host: str) -> None:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if not is_loopback(name.removeprefix("[").removesuffix("]")):
        detail = f"this server is asked by the names of its own machine, not as {shown(host)}"
        raise Problem(421, "foreign-host", detail)
