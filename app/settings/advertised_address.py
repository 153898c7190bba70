"""The address at which other workers of an installation reach this one's API."""

from __future__ import annotations

import socket
from typing import Final

from yarl import URL

ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104
"""Bound to all addresses of the machine; nobody can be reached at these."""


def parse_advertised(text: str, own_port: int) -> URL:
    """Return the base URL that `host`, `host:port` or `http[s]://host[:port]` names.

    A bare host has the port of the views. Raises ValueError, which says what is wrong.
    """
    scheme, is_url, address = text.partition("://")
    if not is_url:
        scheme, address = "http", text
    if address.count(":") > 1 and not address.startswith("["):
        raise ValueError(f"an IPv6 address is written in brackets: [{address}] or [{address}]:6066")
    if scheme not in {"http", "https"}:
        raise ValueError("it is host, host:port, or a URL that starts with http:// or https://")
    try:
        url = URL(f"{scheme}://{address}")
    except ValueError as error:
        raise ValueError(f"it is no address: {error}") from None
    if not url.host or any(character.isspace() for character in address):
        raise ValueError("it names no host")
    if url.user is not None or url.path not in {"", "/"} or url.query_string or url.fragment:
        raise ValueError("it is a host and a port only, without a name, path or query")
    if url.host in ANY_ADDRESS:
        raise ValueError(f"{url.host} stands for all addresses: nobody can be reached there")
    has_port = is_url or address.rpartition("]")[2].count(":") == 1
    return url.origin() if has_port else url.origin().with_port(own_port)


def advertised_url(advertised: str, host: str, port: int) -> URL:
    """Return the base URL that a worker tells the others.

    Where none is advertised it is the address that the views are bound to, and the machine's name
    where that is all addresses.
    """
    if advertised:
        return parse_advertised(advertised, port)
    reached = socket.gethostname() if host in ANY_ADDRESS else host
    return URL.build(scheme="http", host=reached, port=port)
