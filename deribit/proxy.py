"""Finds the proxy that the environment names for a venue; none for what is on this machine.

As curl does: `https_proxy`, else `all_proxy`, in small letters or capitals; `no_proxy` exempts
hosts.
What goes unencrypted (ws://, a simulated exchange) is never sent to a proxy.
"""

from __future__ import annotations

from urllib.request import getproxies, proxy_bypass

from websockets.exceptions import InvalidProxy
from websockets.proxy import get_proxy, parse_proxy
from websockets.uri import parse_uri

from deribit.hosts import is_loopback


class ProxyUnusable(OSError):
    """The environment names a proxy that cannot be used; its address, which may hold a password,
    is not repeated."""


def proxy_for(url: str) -> str | None:
    """Return the proxy through which a venue is reached; raise ProxyUnusable if it is none."""
    venue = parse_uri(url)
    if not venue.secure or is_loopback(venue.host) or proxy_bypass(f"{venue.host}:{venue.port}"):
        return None
    proxy = get_proxy(venue) or getproxies().get("all")
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"  # as curl reads it
    try:
        parse_proxy(proxy)
    except InvalidProxy as error:
        raise ProxyUnusable(f"the proxy in the environment cannot be used: {error.msg}") from None
    except ValueError:  # of the port, or of an escape in the password
        raise ProxyUnusable("the proxy in the environment cannot be used: no such URL") from None
    return proxy
