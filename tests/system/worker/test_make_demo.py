"""The real `make demo`, once, in surroundings that are all unusual at the same time.

A folder with a space and letters that are not ASCII, a token, a proxy that serves nothing, and
views bound to IPv6 where the machine has it. The environment is that of the tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from app.cli.local_worker import open_direct
from app.embedded_kafka.processes import port_is_free

ROOT = Path(__file__).resolve().parents[3]
START_LIMIT_S = 150.0
STOP_LIMIT_S = 40.0
TOKEN = "token-of-the-one-demo"
NEEDED = (
    "Makefile",
    "Procfile",
    "agents",
    "app",
    "dashboard",
    "deribit",
    "exchange",
    "faust_exact",
)
LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-compiler.lock")


def checkout(folder: Path) -> None:
    """Copy what a demo needs; the times of the files stay, so that nothing is installed anew."""
    folder.mkdir()
    for name in (*NEEDED, *LOCKS, "models", "orderbook", "pyproject.toml"):
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)


def get(url: str, token: str | None) -> tuple[int, bytes]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with open_direct(urllib.request.Request(url, headers=headers), 10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.broker
@pytest.mark.timeout(START_LIMIT_S + STOP_LIMIT_S + 30)
def test_make_demo(tmp_path: Path) -> None:
    folder = tmp_path / "My Füße 1"
    checkout(folder)
    host = "::1" if port_is_free(0, "::1") else "127.0.0.1"
    environment = {n: v for n, v in os.environ.items() if n.lower() not in ("no_proxy",)}
    environment |= {"http_proxy": "http://127.0.0.1:9", "STEELYARD_WEB_TOKEN": TOKEN}
    environment |= {"STEELYARD_WEB_HOST": host, "LC_ALL": "C", "COLUMNS": "200"}
    output = tmp_path / "output"
    with output.open("w") as stream:
        # What the environment has is taken as it is: nothing is built or installed for a test.
        demo = subprocess.Popen(
            ["make", "demo", "-o", ".venv/.compiled", "ARGS=--instruments 2 --port 0"],
            cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            url = wait_for_panel(demo, output)
            status, body = get(f"{url}v1/imbalance", TOKEN)
            assert status == 200, body
            assert len(json.loads(body)["data"]) == 2
            assert get(f"{url}v1/imbalance", None)[0] == 401
            assert get(f"{url}v1/imbalance", "another-token-altogether")[0] == 401
            assert TOKEN not in (folder / "var" / "run" / "stack.json").read_text()
            asked = subprocess.run(
                [".venv/bin/python", "-m", "app", "get", "imbalance", "BTC-PERPETUAL"],
                cwd=folder, env=environment, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert asked.returncode == 0, asked.stderr
            assert json.loads(asked.stdout)["data"]["instrument"] == "BTC-PERPETUAL"
            os.killpg(demo.pid, signal.SIGINT)
            demo.wait(STOP_LIMIT_S)
        finally:
            if demo.poll() is None:
                os.killpg(demo.pid, signal.SIGKILL)
                demo.wait()
    said = output.read_text(errors="replace")
    assert "stopped" in said
    assert "Traceback" not in said
    assert TOKEN not in said
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [folder.name]


def wait_for_panel(demo: subprocess.Popen[bytes], output: Path) -> str:
    """Return the address in the panel, which is there when the demo is ready."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        said = output.read_text(errors="replace")
        if found := re.search(r"page +(http://\S+/)", said):
            return found[1]
        assert demo.poll() is None, said
        time.sleep(0.2)
    raise AssertionError(f"not ready within {START_LIMIT_S:.0f} s:\n{said}")
