"""Where programs of this machine ask a worker, for each address that its views can be bound to."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from app.__main__ import main
from app.api.authentication import Access
from app.api.site import Limits
from app.cli import demo
from app.cli.local_worker import local_url
from app.cli.stack import run
from app.cli.stack.stack import Stack, StackError, hold_stack
from app.cli.terminal.api_client import Worker
from app.embedded_kafka.processes import free_port, port_is_free
from app.settings import Settings
from tests.api.recorded import RecordedServing, served_with_hub


def has_ipv6_loopback() -> bool:
    return port_is_free(0, "::1")


@pytest.mark.parametrize(
    ("bound", "asked"),
    [
        ("127.0.0.1", "http://127.0.0.1:7001"),
        ("localhost", "http://localhost:7001"),
        ("0.0.0.0", "http://127.0.0.1:7001"),
        ("192.168.7.7", "http://192.168.7.7:7001"),
        ("box.lan", "http://box.lan:7001"),
        ("::1", "http://[::1]:7001"),
        ("[::1]", "http://[::1]:7001"),
        ("::", "http://[::1]:7001"),
        ("0:0:0:0:0:0:0:0", "http://[::1]:7001"),
        ("fd00::7", "http://[fd00::7]:7001"),
    ],
)
def test_the_address_asked_is_the_address_bound(bound: str, asked: str, tmp_path: Path) -> None:
    configured = Settings(web_host=bound, web_port=7001, allow_remote_web=True, data_dir=tmp_path)
    assert Worker.chosen(configured, None).url == asked
    stack = Stack("demo", 1, 2, "k:1", "ws://x", 7001, web_host=configured.web_host)
    assert stack.url == f"{asked}/"
    assert str(local_url(configured.web_host, 7001)) == asked


def test_a_running_stack_is_asked_where_it_is_bound(tmp_path: Path) -> None:
    with hold_stack(tmp_path):
        Stack("demo", 1, 2, "k:1", "ws://x", 7002, web_host="::1").write(tmp_path)
        assert Worker.chosen(Settings(data_dir=tmp_path), None).url == "http://[::1]:7002/".rstrip(
            "/"
        )


async def test_verify_asks_the_stack_that_runs_with_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    token = "a-token-of-the-test"
    monkeypatch.setenv("STEELYARD_DATA_DIR", str(tmp_path))
    limits = Limits(access=Access(token))
    async with served_with_hub(RecordedServing(), 0, limits) as (url, _):
        with hold_stack(tmp_path):
            Stack("demo", 1, 2, "k:1", "ws://x", int(url.rpartition(":")[2])).write(tmp_path)
            assert await asyncio.to_thread(main, ["verify"]) == 2
            assert "set STEELYARD_WEB_TOKEN" in capsys.readouterr().err
            monkeypatch.setenv("STEELYARD_WEB_TOKEN", token)
            assert await asyncio.to_thread(main, ["verify"]) == 2  # there is no Kafka
    err = capsys.readouterr().err
    assert "STEELYARD_WEB_TOKEN" not in err
    assert "no worker answers" not in err


def test_an_address_that_is_not_this_machines_is_not_called_taken() -> None:
    configured = Settings(web_host="192.0.2.1", allow_remote_web=True)
    with pytest.raises(StackError, match=r"STEELYARD_WEB_HOST must be") as caught:
        demo._web_port(configured, None, demo.Console(stderr=True))
    assert "taken" not in str(caught.value)


@pytest.mark.parametrize("host", ["a..b", "x" * 80, "no-such-host.invalid"])
def test_a_name_that_is_no_machines_is_said(host: str) -> None:
    configured = Settings(web_host=host, allow_remote_web=True)
    with pytest.raises(StackError, match="STEELYARD_WEB_HOST must be"):
        demo._web_port(configured, None, demo.Console(stderr=True))


@pytest.mark.skipif(not has_ipv6_loopback(), reason="no IPv6 loopback here")
def test_a_port_taken_at_ipv6_is_seen() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        assert not port_is_free(server.getsockname()[1], "::1")
    assert free_port("::1") > 0


def test_a_worker_that_joins_a_guarded_stack_needs_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEELYARD_DATA_DIR", str(tmp_path))
    with hold_stack(tmp_path):
        Stack("demo", 1, 2, "k:1", "ws://x", 7002, wants_token=True).write(tmp_path)
        assert main(["worker"]) == 2
    assert "Set STEELYARD_WEB_TOKEN to the same" in capsys.readouterr().err


def test_a_secret_is_given_to_the_worker_and_written_nowhere() -> None:
    configured = Settings(web_token="canary-of-the-token", client_id="me", client_secret="canary-2")
    assert "canary" not in json.dumps(run.shared_environment(configured))
    assert "***" not in json.dumps(run.shared_environment(configured))
    assert run._secrets(configured) == {
        "STEELYARD_WEB_TOKEN": "canary-of-the-token",
        "STEELYARD_CLIENT_SECRET": "canary-2",
    }
