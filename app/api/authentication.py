"""Who may ask: with a token set, those who know it; without one, programs of this machine.

The token comes as `Authorization: Bearer TOKEN`, or as the password of HTTP Basic, because that is
what a browser can send for a page, its event stream and its WebSocket. Without a token a page of
another site is the danger: by a name that its owner points at our address, which its visitor's
browser reaches, it would become one of ours. So only names that are known are answered. An address
is no such name.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Iterable
from typing import Final

from aiohttp import web

from app.api.problems import Problem, shown

CHALLENGE: Final = 'Bearer realm="steelyard", Basic realm="steelyard", charset="UTF-8"'


class Access:
    """The check of every request: `token` to be known, and, without one, the name to be asked by.

    Names of this machine are known, and `hosts`; beyond loopback (`is_local` is false) all
    addresses, too. Hosts that are given are checked beside a token as well.
    """

    def __init__(
        self, token: str | None = None, *, is_local: bool = True, hosts: Iterable[str] = ()
    ) -> None:
        self.token = token
        self._is_local = is_local
        self._hosts = frozenset(host.lower() for host in hosts)

    def check(self, request: web.Request) -> None:
        """Raise a problem if the request may not be answered."""
        if self.token is not None:
            self._check_token(self.token.encode(), request.headers.get("Authorization", ""))
        if self.token is None or self._hosts:
            self._check_host(request.host)

    def _check_host(self, host: str) -> None:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        name = name.removeprefix("[").removesuffix("]").lower()
        address = _address(name)
        is_loopback = name == "localhost" if address is None else address.is_loopback
        if name in self._hosts or is_loopback:
            return
        if self._is_local or address is None:
            detail = (
                f"this server is not asked as {shown(host)}: it answers to the names of its own "
                "machine, and to those of STEELYARD_WEB_HOSTS"
            )
            raise Problem(421, "foreign-host", detail)

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


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
