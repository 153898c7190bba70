"""The health checks and the start script of docker/, run here as the containers run them."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app.embedded_kafka import EmbeddedBroker
from exchange.config import Config
from exchange.server import Exchange
from tests.system.docker.compose_file import COMPOSE, ROOT, interpolated, load

CHECK_TIMEOUT_S = 20.0
NAMES_TIMEOUT_S = 10.0

needs_flock = pytest.mark.skipif(shutil.which("flock") is None, reason="no flock (util-linux) here")

PYTHON_STAND_IN = """#!/bin/sh
echo "$STEELYARD_WORKER_NAME $*"
read -r _
"""


def check(service: str, port: int, usual_port: int) -> list[str]:
    """Return the command of a service's health check, aimed at a port of this machine."""
    test = interpolated(load(COMPOSE.read_text()), {})["services"][service]["healthcheck"]["test"]
    command = [part.replace(str(usual_port), str(port)) for part in test[1:]]
    assert command != test[1:], f"port {usual_port} is not in the check"
    return [sys.executable if command[0] == "python" else command[0], *command[1:]]


def succeeds(command: list[str]) -> bool:
    """Run a check in the environment of a container that Docker was told of a proxy for."""
    exempt = {"no_proxy", "NO_PROXY"}
    environment = {name: value for name, value in os.environ.items() if name not in exempt}
    environment |= dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        command, env=environment, capture_output=True, timeout=CHECK_TIMEOUT_S, check=False
    )
    return done.returncode == 0


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections, held so that nobody else opens it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """Serve one connection: read a little, send the reply, close; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(64)
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_kafka_is_healthy_when_it_answers(broker: EmbeddedBroker) -> None:
    assert succeeds(check("kafka", broker.port, 9092))


def test_kafka_is_not_healthy_when_nothing_listens(closed_port: int) -> None:
    assert not succeeds(check("kafka", closed_port, 9092))


def test_kafka_is_not_healthy_while_it_has_no_broker() -> None:
    no_broker = bytes.fromhex("00000010 00000001 00000000 00000000")
    with answering(no_broker) as port:
        assert not succeeds(check("kafka", port, 9092))
    with answering(b"") as port:
        assert not succeeds(check("kafka", port, 9092))


async def test_the_exchange_is_healthy_when_it_answers(closed_port: int) -> None:
    async with Exchange(Config(instruments=1, rate=1)) as exchange:
        assert await asyncio.to_thread(succeeds, check("exchange", exchange.port, 8790))
    assert not await asyncio.to_thread(succeeds, check("exchange", closed_port, 8790))


@pytest.mark.parametrize(("status", "is_healthy"), [(200, True), (503, False)])
def test_a_worker_is_healthy_when_livez_says_so(status: int, is_healthy: bool) -> None:
    asked = []

    class Livez(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Stay quiet."""

    with HTTPServer(("127.0.0.1", 0), Livez) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            assert succeeds(check("worker", server.server_port, 6066)) is is_healthy
        finally:
            server.shutdown()
            thread.join()
    assert asked == ["/livez"]


class Replicas:
    """Runs of worker.sh on one data folder, with a stand-in for python that waits for its end."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        stand_in = folder / "bin" / "python"
        stand_in.parent.mkdir()
        stand_in.write_text(PYTHON_STAND_IN)
        stand_in.chmod(0o755)
        self.path = f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}"
        self.running: list[asyncio.subprocess.Process] = []

    async def start(self, **environment: str) -> tuple[asyncio.subprocess.Process, str]:
        """Start one; answer it and the line that its `python` has printed."""
        replica = await asyncio.create_subprocess_exec(
            "sh",
            str(ROOT / "docker" / "worker.sh"),
            env={"PATH": self.path, "STEELYARD_DATA_DIR": str(self.data_dir), **environment},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self.running.append(replica)
        assert replica.stdout is not None
        line = await asyncio.wait_for(replica.stdout.readline(), NAMES_TIMEOUT_S)
        return replica, line.decode().strip()

    async def kill_all(self) -> None:
        for replica in self.running:
            if replica.returncode is None:
                replica.kill()
            await replica.wait()


@needs_flock
async def test_replicas_have_names_of_their_own_and_a_new_one_takes_a_free_one(
    tmp_path: Path,
) -> None:
    replicas = Replicas(tmp_path)
    command = "-m faust -A app worker -l info"
    try:
        first, line = await replicas.start()
        assert line == f"worker-1 {command}"
        assert (await replicas.start())[1] == f"worker-2 {command}"
        assert (await replicas.start())[1] == f"worker-3 {command}"
        first.kill()
        await first.wait()
        assert (await replicas.start())[1] == f"worker-1 {command}"
    finally:
        await replicas.kill_all()


@needs_flock
async def test_a_name_that_was_given_is_kept(tmp_path: Path) -> None:
    replicas = Replicas(tmp_path)
    try:
        _, line = await replicas.start(STEELYARD_WORKER_NAME="host7.b")
        assert line.split()[0] == "host7.b"
        assert not replicas.data_dir.exists()
    finally:
        await replicas.kill_all()
