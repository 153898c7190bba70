"""Where other workers are told to reach a worker's views."""

from __future__ import annotations

import socket

import pytest
from pydantic import ValidationError

from app.settings import Settings
from app.worker import Steelyard


@pytest.mark.parametrize(
    ("advertised", "url"),
    [
        ("worker-a.internal", "http://worker-a.internal:7100"),
        ("10.1.2.3:80", "http://10.1.2.3"),
        ("10.1.2.3:7200", "http://10.1.2.3:7200"),
        ("[fd00::5]", "http://[fd00::5]:7100"),
        ("[fd00::5]:7200", "http://[fd00::5]:7200"),
        ("https://a.example/", "https://a.example"),
        ("https://a.example:8443", "https://a.example:8443"),
    ],
)
def test_what_is_advertised_is_what_the_group_is_told(advertised: str, url: str) -> None:
    configured = Settings(web_port=7100, web_advertised=advertised, web_host="127.0.0.1")
    assert str(configured.advertised_url) == url
    assert str(Steelyard(configured).conf.canonical_url).rstrip("/") == url


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]"),
        ("0.0.0.0", socket.gethostname()),
        ("::", socket.gethostname()),
    ],
)
def test_without_it_the_bound_address_is_told(host: str, reached: str) -> None:
    configured = Settings(web_port=7100, web_host=host, allow_remote_web=True)
    assert str(configured.advertised_url) == f"http://{reached}:7100"


@pytest.mark.parametrize(
    ("advertised", "said"),
    [
        ("::1", "[::1]"),
        ("0.0.0.0:6066", "stands for all addresses"),
        ("[::]", "stands for all addresses"),
        ("ws://a:1", "http://"),
        ("a:99999", "no address"),
        ("a:b", "no address"),
        ("a/path", "without a name, path or query"),
        ("http://me:secret@a", "without a name, path or query"),
        ("http://", "names no host"),
        (":6066", "no address"),
        ("two words", "names no host"),
    ],
)
def test_what_nobody_could_ask_is_refused(advertised: str, said: str) -> None:
    with pytest.raises(ValidationError, match="web_advertised") as refused:
        Settings(web_advertised=advertised)
    assert said in str(refused.value)
