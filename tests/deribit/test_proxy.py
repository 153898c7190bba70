"""A proxy of the environment: used for the venue, said if it cannot be, never for this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from deribit.backoff import Backoff
from deribit.client import Client
from deribit.events import Disconnected
from deribit.proxy import ProxyUnusable, proxy_for
from tests.deribit.test_client import of, running, until

VENUE = "wss://venue.example/ws/api/v2"
GREETING, NO_AUTHENTICATION = b"\x05\x01\x00", b"\x05\x00"
CONNECT_BY_NAME = b"\x05\x01\x00\x03\x0dvenue.example\x01\xbb"
REFUSED = b"\x05\x05\x00\x01" + bytes(6)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "all", "no", "socks", "wss", "ws"):
        for variable in (f"{name}_proxy", f"{name}_proxy".upper()):
            monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("url", "environment", "expected"),
    [
        (VENUE, {}, None),
        (VENUE, {"https_proxy": "http://p:3128"}, "http://p:3128"),
        (VENUE, {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        (VENUE, {"https_proxy": "p:3128"}, "http://p:3128"),
        (VENUE, {"all_proxy": "socks5h://p:1080"}, "socks5h://p:1080"),
        (VENUE, {"ALL_PROXY": "socks5://p:1080", "https_proxy": "http://q:1"}, "http://q:1"),
        (VENUE, {"http_proxy": "http://p:3128"}, None),
        (VENUE, {"https_proxy": "http://p:1", "no_proxy": ".example"}, None),
        (VENUE, {"ALL_PROXY": "http://p:1", "NO_PROXY": "other,venue.example"}, None),
        (VENUE, {"ALL_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ("wss://localhost:8790/", {"https_proxy": "http://p:1"}, None),
        ("wss://127.1.2.3/", {"ALL_PROXY": "http://p:1"}, None),
        ("wss://[::1]:8790/", {"https_proxy": "http://p:1"}, None),
        ("ws://127.0.0.1:8790/", {"http_proxy": "http://p:1", "all_proxy": "http://p:1"}, None),
        ("ws://exchange:8790/", {"http_proxy": "http://p:1", "all_proxy": "http://p:1"}, None),
    ],
)
def test_which_proxy(
    url: str, environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == expected


@pytest.mark.parametrize(
    "proxy",
    ["ftp://me:canary@p:1", "http://me:canary@p:70000", "http://me:canary@p/path", "http://"],
)
def test_what_is_no_proxy_is_said_without_its_password(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(
        ProxyUnusable, match=r"^the proxy in the environment cannot be used"
    ) as caught:
        proxy_for(VENUE)
    assert "canary" not in str(caught.value)


@asynccontextmanager
async def socks_proxy(asked: asyncio.Queue[bytes]) -> AsyncIterator[int]:
    """A SOCKS5 proxy that notes whom it is to connect to, and refuses."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(len(GREETING)) == GREETING:
            writer.write(NO_AUTHENTICATION)
            asked.put_nowait(await reader.readexactly(len(CONNECT_BY_NAME)))
            writer.write(REFUSED)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("variable", ["https_proxy", "ALL_PROXY"])
async def test_a_socks_proxy_is_asked_for_the_venue_again_and_again(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("python_socks")
    asked: asyncio.Queue[bytes] = asyncio.Queue()
    async with socks_proxy(asked) as port:
        monkeypatch.setenv(variable, f"socks5h://127.0.0.1:{port}")
        client = Client(VENUE, "w", backoff=Backoff(first_s=0.01))
        async with running(client):
            ends = of(await until(client, Disconnected, 2), Disconnected)
    assert [asked.get_nowait(), asked.get_nowait()] == [CONNECT_BY_NAME] * 2
    assert "failed to connect to SOCKS proxy" in ends[0].detail


async def test_without_what_speaks_socks_one_line_says_so_and_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def connect_socks_proxy(*_: object, **__: object) -> None:  # as without python-socks
        raise ImportError("connecting through a SOCKS proxy requires python-socks")

    monkeypatch.setattr("websockets.asyncio.client.connect_socks_proxy", connect_socks_proxy)
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1080")
    client = Client(VENUE, "w", backoff=Backoff(first_s=0.01))
    async with running(client):
        ends = of(await until(client, Disconnected, 2), Disconnected)
    assert [end.detail for end in ends[:2]] == [
        f"{VENUE}: connecting through a SOCKS proxy requires python-socks"
    ] * 2
