"""The containers for real: two workers, asked both; one killed, the other takes over.

Runs when it is asked for: TEST_CONTAINERS=1, with podman, podman-compose and both public
images here. It builds the image, which takes a minute or two the first time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.harness.processes import get_json
from tests.system.docker.compose_file import COMPOSE, ROOT, load

PYTHON_IMAGE = "docker.io/library/python:3.11-slim-bookworm"
KAFKA_IMAGE = load(COMPOSE.read_text())["services"]["kafka"]["image"]
INSTRUMENT = "BTC-PERPETUAL"
WORKERS = 2
UP_TIMEOUT_S = 480
DOWN_TIMEOUT_S = 120
READY_TIMEOUT_S = 120
TAKEOVER_TIMEOUT_S = 30
STOP_TIMEOUT_S = 15
POLL_S = 0.5


def obstacle() -> str | None:
    """Return why the containers can't run here, or None."""
    if os.environ.get("TEST_CONTAINERS") != "1":
        return "TEST_CONTAINERS=1 is not set"
    for program in ("podman", "podman-compose"):
        if shutil.which(program) is None:
            return f"no {program} here"
    for image in (PYTHON_IMAGE, KAFKA_IMAGE):
        exists = subprocess.run(["podman", "image", "exists", image], check=False)
        if exists.returncode != 0:
            return f"image {image} is not here"
    return None


WHY_NOT = obstacle()
pytestmark = [
    pytest.mark.skipif(WHY_NOT is not None, reason=f"real containers: {WHY_NOT}"),
    pytest.mark.timeout(UP_TIMEOUT_S + DOWN_TIMEOUT_S + 2 * READY_TIMEOUT_S),
]


def podman(*arguments: str) -> str:
    """Run podman; return what it prints."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@dataclass(frozen=True)
class Worker:
    """One replica."""

    container: str
    url: str

    def get(self, path: str) -> tuple[int, Any]:
        return get_json(f"{self.url}{path}", timeout_s=5)

    @property
    def is_ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def live(self, path: str) -> dict[str, Any] | None:
        """Return an answer if it is one, and live."""
        status, body = self.get(path)
        if status != 200 or body["meta"]["status"] != "live":
            return None
        answer: dict[str, Any] = body
        return answer


def wait_for(what: str, condition: Callable[[], Any], timeout_s: float) -> Any:
    """Return the condition's first true answer; fail when the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(POLL_S)
    raise AssertionError(f"not {what} within {timeout_s} s")


@pytest.fixture(scope="module")
def workers() -> Iterator[list[Worker]]:
    """Two ready workers of a demo with a project name of its own; all is removed afterwards."""
    project = f"steelyard-test-{uuid.uuid4().hex[:8]}"
    command = ["podman-compose", "--env-file", str(ROOT / "docker" / "demo.env")]
    command += ["-f", str(COMPOSE)]
    environment = os.environ | {
        "COMPOSE_PROJECT_NAME": project,
        "WORKERS": str(WORKERS),
        "WORKER_PORTS": "",
    }
    try:
        subprocess.run(
            [*command, "up", "--build", "-d"], env=environment, check=True, timeout=UP_TIMEOUT_S
        )
        found = []
        for number in range(1, WORKERS + 1):
            container = f"{project}_worker_{number}"
            found.append(Worker(container, f"http://{podman('port', container, '6066/tcp')}"))
        wait_for("ready", lambda: all(worker.is_ready for worker in found), READY_TIMEOUT_S)
        yield found
    finally:
        subprocess.run(
            [*command, "down", "-v"], env=environment, check=True, timeout=DOWN_TIMEOUT_S
        )


def test_both_answer_for_every_instrument_and_one_takes_over(workers: list[Worker]) -> None:
    book_path = f"/v1/books/{INSTRUMENT}?depth=1"
    for worker in workers:
        assert podman("healthcheck", "run", worker.container) == ""
        name = worker.get("/livez")[1]["data"]["worker"]
        answer = wait_for(
            "live", partial(worker.live, f"/v1/imbalance/{INSTRUMENT}"), READY_TIMEOUT_S
        )
        assert answer["meta"]["worker"] == name
        assert -1 <= answer["data"]["imbalance_10"] <= 1
        assert answer["meta"]["simulated"]

    books = [
        wait_for("live", partial(worker.live, book_path), READY_TIMEOUT_S) for worker in workers
    ]
    owners = {book["meta"]["worker"] for book in books}
    assert len(owners) == 1, f"two workers say that they own {INSTRUMENT}: {owners}"
    assert all(book["data"]["bids"][0][0] < book["data"]["asks"][0][0] for book in books)

    by_name = {worker.get("/livez")[1]["data"]["worker"]: worker for worker in workers}
    assert set(by_name) == {"worker-1", "worker-2"}
    owner = by_name[owners.pop()]
    (survivor,) = [worker for worker in workers if worker is not owner]
    podman("kill", owner.container)
    killed_at = time.monotonic()
    survivor_name = survivor.get("/livez")[1]["data"]["worker"]

    def taken_over() -> bool:
        status, body = survivor.get("/v1/imbalance")
        return (
            status == 200
            and {row["status"] for row in body["data"]} == {"live"}
            and {row["worker"] for row in body["data"]} == {survivor_name}
        )

    book = wait_for("taken over", lambda: survivor.live(book_path), TAKEOVER_TIMEOUT_S)
    assert book["meta"]["worker"] == survivor_name
    wait_for("all live", taken_over, TAKEOVER_TIMEOUT_S - (time.monotonic() - killed_at))


def test_a_worker_can_do_nothing_but_its_work(workers: list[Worker]) -> None:
    container = workers[0].container
    podman("start", container)  # the other test may have killed it
    wait_for("ready", lambda: workers[0].is_ready, READY_TIMEOUT_S)
    status = podman("exec", container, "cat", "/proc/1/status")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    assert fields["Uid"].split() == ["10001"] * 4
    assert int(fields["CapBnd"], 16) == int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"].strip() == "1"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        podman("exec", "--user", "0", container, "touch", "/srv/steelyard/app/new.py")
    assert "Read-only file system" in refused.value.stderr


def test_a_stopped_worker_ends_by_itself(workers: list[Worker]) -> None:
    container = workers[1].container
    podman("start", container)
    wait_for("ready", lambda: workers[1].is_ready, READY_TIMEOUT_S)
    podman("stop", "--time", str(STOP_TIMEOUT_S), container)
    assert podman("inspect", container, "--format", "{{.State.ExitCode}}") == "0"
