"""Asks a worker of this machine: at which address, and never through a proxy.

A proxy in the environment is for the outside: it does not serve local names, and would be sent the
token of the views.
"""

from __future__ import annotations

import ipaddress
import urllib.request
from http.client import HTTPResponse
from typing import Final, cast

from yarl import URL

_opener: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def local_url(bound: str, port: int) -> URL:
    """Return where this machine reaches views that are bound to an address or a name."""
    try:
        address = ipaddress.ip_address(bound)
    except ValueError:
        return URL.build(scheme="http", host=bound, port=port)
    if address.is_unspecified:  # bound to all addresses; at some systems nobody is reached there
        bound = "127.0.0.1" if address.version == 4 else "::1"
    return URL.build(scheme="http", host=bound, port=port)


def open_direct(asked: str | urllib.request.Request, timeout_s: float) -> HTTPResponse:
    """Send a request straight to its address; raise OSError, such as HTTPError, where it fails."""
    return cast(HTTPResponse, _opener.open(asked, timeout=timeout_s))
