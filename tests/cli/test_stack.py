"""The stack: one per data directory, joined by commands, stopped in order, nothing left behind.

Exchange and worker are stand-ins of a few lines here; Kafka and the supervisor are real.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import pytest

from app.__main__ import main
from app.cli import demo as demo_of
from app.cli.environment import load_settings
from app.cli.stack.stack import (
    Stack,
    StackError,
    added_workers,
    hold_stack,
    running_stack,
    stop_added_workers,
)
from app.cli.stack.supervisor import CHILD_STOP_TIMEOUT_S, LEAST_RUN_S
from app.embedded_kafka import EmbeddedBroker
from app.embedded_kafka.processes import free_port
from app.errors import UserError
from tests.harness.processes import Child, python

ROOT = Path(__file__).resolve().parents[2]
STOP_LIMIT_S = 15.0
START_LIMIT_S = 60.0

EXCHANGE = """
import argparse, pathlib, signal, sys
parser = argparse.ArgumentParser()
for name in ("--port", "--port-file", "--instruments", "--seed"):
    parser.add_argument(name)
arguments = parser.parse_args()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
pathlib.Path(arguments.port_file).write_text(arguments.port)
print("exchange up with seed", arguments.seed, flush=True)
signal.sigwait({signal.SIGTERM})
print("exchange down", flush=True)
"""

WORKER = """
import http.server, os, signal, sys, threading
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
server = http.server.HTTPServer(("127.0.0.1", int(os.environ["STEELYARD_WEB_PORT"])), Ready)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("worker", os.environ["STEELYARD_WORKER_NAME"], os.environ["STEELYARD_VENUE_URL"], flush=True)
signal.sigwait({signal.SIGTERM})
print("worker down", flush=True)
"""

DEMO = """
import pathlib, sys
from app.cli.stack import run
from app.cli.stack import supervisor
from app.__main__ import main
run.ROOT = pathlib.Path(sys.argv[1])
supervisor.LEAST_RUN_S = float(sys.argv[2])
sys.exit(main(["demo", "--seed", "11"]))
"""


@contextmanager
def running_demo(
    tmp_path: Path,
    kafka: str | None,
    exchange: str = EXCHANGE,
    worker: str = WORKER,
    least_run_s: float = LEAST_RUN_S,
    partitions: int = 1,
) -> Iterator[subprocess.Popen[str]]:
    """Run `demo` with stand-ins, its output in tmp_path/output."""
    (tmp_path / "exchange.py").write_text(exchange)
    (tmp_path / "worker.py").write_text(worker)
    lines = [f"{name}: exec $PYTHON {name}.py" for name in ("exchange", "worker")]
    (tmp_path / "Procfile").write_text("\n".join(lines) + "\n")
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "STEELYARD_DATA_DIR": str(tmp_path / "var"),
        "STEELYARD_WEB_PORT": str(free_port()),
        "STEELYARD_PARTITIONS": str(partitions),
    }
    if kafka is not None:
        environment["STEELYARD_KAFKA"] = kafka
        environment["STEELYARD_INSTALLATION"] = tmp_path.name
    with (tmp_path / "output").open("w") as output:
        demo = subprocess.Popen(
            [sys.executable, "-c", DEMO, str(tmp_path), str(least_run_s)],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield demo
        finally:
            if demo.poll() is None:
                demo.kill()
            demo.wait()


def wait_for(demo: subprocess.Popen[str], tmp_path: Path, text: str) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while text not in output_of(tmp_path):
        assert demo.poll() is None, output_of(tmp_path)
        assert time.monotonic() < deadline, output_of(tmp_path)
        time.sleep(0.05)


def output_of(tmp_path: Path) -> str:
    return (tmp_path / "output").read_text()


def processes_of(tmp_path: Path) -> list[str]:
    """Return the command lines of all processes that have to do with this data directory."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
        if f"STEELYARD_DATA_DIR={tmp_path / 'var'}".encode() in environment and command:
            found.append(command)
    return found


def test_a_demo_starts_in_order_is_joined_and_stops_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_demo(tmp_path, kafka=None) as demo:
        wait_for(demo, tmp_path, "make worker")
        stack = running_stack(tmp_path / "var")
        assert stack is not None
        assert (stack.kind, stack.pid) == ("demo", demo.pid)
        assert set(stack.pids) == {"exchange", "worker-1"}
        assert stack.environment["STEELYARD_INSTALLATION"] == "demo"
        assert f"worker worker-1 {stack.venue_url}" in output_of(tmp_path)
        assert "exchange up with seed 11" in output_of(tmp_path)

        monkeypatch.setenv("STEELYARD_DATA_DIR", str(tmp_path / "var"))
        assert main(["demo"]) == 2
        assert f"A demo (pid {demo.pid}" in capsys.readouterr().err
        assert main(["topics", "--json"]) == 0  # on the demo's Kafka, with the demo's names
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert {row["status"] for row in rows} == {"ok"}
        assert "demo-feed" in {row["topic"] for row in rows}

        started = time.monotonic()
        demo.send_signal(signal.SIGINT)
        assert demo.wait(STOP_LIMIT_S) == 0
        assert time.monotonic() - started < STOP_LIMIT_S
    output = output_of(tmp_path)
    assert output.index("worker down") < output.index("exchange down")
    assert processes_of(tmp_path) == []
    assert running_stack(tmp_path / "var") is None
    assert "worker down" in (tmp_path / "var" / "log" / "worker-1.log").read_text()


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_child_that_dies_is_named_with_its_last_lines(
    tmp_path: Path, broker: EmbeddedBroker, log_format: str
) -> None:
    worker = (
        "import logging, logging.config, sys\n"
        "from app.monitoring.logs import logging_config\nfrom app.settings import Settings\n"
        f"logging.config.dictConfig(logging_config(Settings(log_format='{log_format}')))\n"
        "logging.getLogger('steelyard.worker').error('cannot go on: no tape')\n"
        "for number in range(50):\n    print('stopping part', number)\nsys.exit(3)\n"
    )
    with running_demo(tmp_path, kafka=broker.bootstrap, worker=worker) as demo:
        assert demo.wait(START_LIMIT_S) == 1
    output = output_of(tmp_path)
    assert "error: worker-1 ended with exit code 3" in output
    said = output.split("error: ")[1]
    assert "cannot go on: no tape" in said  # though fifty lines came after it
    assert "stopping part 49" in said
    assert "stopping part 3\n" not in said
    assert "exchange down" in output
    assert processes_of(tmp_path) == []


def test_a_worker_that_dies_is_started_again(tmp_path: Path, broker: EmbeddedBroker) -> None:
    with running_demo(tmp_path, kafka=broker.bootstrap, least_run_s=0.0) as demo:
        wait_for(demo, tmp_path, "make worker")
        stack = running_stack(tmp_path / "var")
        assert stack is not None
        os.kill(stack.pids["worker-1"], signal.SIGKILL)
        wait_for(demo, tmp_path, "worker-1 ended with exit code -9")
        wait_for(demo, tmp_path, "worker-1 is started again")
        deadline = time.monotonic() + STOP_LIMIT_S
        while output_of(tmp_path).count("worker worker-1 ws://") < 2:
            assert time.monotonic() < deadline, output_of(tmp_path)
            time.sleep(0.05)
        while (again := running_stack(tmp_path / "var")) is None or (
            again.pids.get("worker-1") in {None, stack.pids["worker-1"]}
        ):
            assert time.monotonic() < deadline, f"stack.json has {again and again.pids}"
            time.sleep(0.05)
        assert f"worker-1 started (pid {again.pids['worker-1']})" in output_of(tmp_path)
        assert again.pids["exchange"] == stack.pids["exchange"]
        demo.send_signal(signal.SIGINT)
        assert demo.wait(STOP_LIMIT_S) == 0
    assert output_of(tmp_path).count("exchange up") == 1
    assert processes_of(tmp_path) == []


def test_a_kafka_that_dies_ends_the_demo_and_is_named(tmp_path: Path) -> None:
    with running_demo(tmp_path, kafka=None) as demo:
        wait_for(demo, tmp_path, "make worker")
        os.kill(pid_of(tmp_path, "kafka.Kafka"), signal.SIGKILL)
        assert demo.wait(STOP_LIMIT_S) == 1
    output = output_of(tmp_path)
    assert "error: The embedded broker ended" in output
    assert output.index("worker down") < output.index("exchange down") < output.index("stopped")
    assert processes_of(tmp_path) == []


def pid_of(tmp_path: Path, word: str) -> int:
    """Return the one process of this data directory whose command line has a word."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is somebody else's
            is_ours = (
                f"STEELYARD_DATA_DIR={tmp_path / 'var'}".encode()
                in (folder / "environ").read_bytes()
            )
            if is_ours and word.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    assert len(found) == 1
    return found[0]


def test_a_worker_that_refuses_to_run_is_not_started_again(
    tmp_path: Path, broker: EmbeddedBroker
) -> None:
    refusing = "import sys\nprint('error: the table is of another release')\nsys.exit(2)\n"
    options = {"worker": refusing, "least_run_s": 0.0}
    with running_demo(tmp_path, kafka=broker.bootstrap, **options) as demo:
        assert demo.wait(START_LIMIT_S) == 1
    assert "worker-1 ended with exit code 2" in output_of(tmp_path)
    assert "started again" not in output_of(tmp_path)


def test_a_killed_demo_leaves_no_process(tmp_path: Path, broker: EmbeddedBroker) -> None:
    with running_demo(tmp_path, kafka=broker.bootstrap) as demo:
        wait_for(demo, tmp_path, "make worker")
        assert len(processes_of(tmp_path)) >= 3
        demo.kill()
        deadline = time.monotonic() + STOP_LIMIT_S
        while processes_of(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.05)
    assert processes_of(tmp_path) == []
    assert running_stack(tmp_path / "var") is None


def test_a_second_ctrl_c_kills_what_does_not_stop(tmp_path: Path, broker: EmbeddedBroker) -> None:
    deaf = WORKER.replace("signal.sigwait({signal.SIGTERM})", "signal.sigwait({signal.SIGUSR1})")
    with running_demo(tmp_path, kafka=broker.bootstrap, worker=deaf) as demo:
        wait_for(demo, tmp_path, "make worker")
        demo.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            demo.wait(0.5)
        asked = time.monotonic()
        demo.send_signal(signal.SIGINT)
        assert demo.wait(STOP_LIMIT_S) == 0
        assert time.monotonic() - asked < CHILD_STOP_TIMEOUT_S / 2
    assert "worker-1 does not end: killed" in output_of(tmp_path)
    assert processes_of(tmp_path) == []


def test_a_demo_is_stopped_while_kafka_starts(tmp_path: Path) -> None:
    with running_demo(tmp_path, kafka=None) as demo:
        wait_for(demo, tmp_path, "starting Kafka")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(START_LIMIT_S) == 0
    assert "stopped" in output_of(tmp_path)
    assert "worker-1 started" not in output_of(tmp_path)
    assert "Traceback" not in output_of(tmp_path)
    assert processes_of(tmp_path) == []


def test_a_child_that_does_not_stop_is_killed_in_time(
    tmp_path: Path, broker: EmbeddedBroker
) -> None:
    deaf = WORKER.replace("signal.sigwait({signal.SIGTERM})", "signal.sigwait({signal.SIGUSR1})")
    with running_demo(tmp_path, kafka=broker.bootstrap, worker=deaf) as demo:
        wait_for(demo, tmp_path, "make worker")
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(STOP_LIMIT_S) == 0
    assert "worker-1 does not end: killed" in output_of(tmp_path)
    assert "exchange down" in output_of(tmp_path)
    assert processes_of(tmp_path) == []


def test_one_stack_holds_a_data_directory(tmp_path: Path) -> None:
    assert running_stack(tmp_path) is None
    with hold_stack(tmp_path):
        Stack("demo", 1, 2, "k:1", "ws://x", 80).write(tmp_path)
        assert running_stack(tmp_path) == Stack("demo", 1, 2, "k:1", "ws://x", 80)
        with pytest.raises(StackError, match="already runs"), hold_stack(tmp_path):
            pass
    assert running_stack(tmp_path) is None
    with hold_stack(tmp_path):
        assert running_stack(tmp_path) is None  # not the file of the one before


def test_settings_made_by_hand_win_over_a_running_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("STEELYARD_KAFKA", "mine:9092")
    with hold_stack(tmp_path):
        Stack("demo", 1, 2, "k:1", "ws://x", 80, {"STEELYARD_KAFKA": "k:1"}).write(tmp_path)
        assert load_settings().kafka == "mine:9092"


def test_a_worker_without_a_stack_is_told_what_to_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("STEELYARD_DATADIR", str(tmp_path))
    assert main(["worker"]) == 2
    err = capsys.readouterr().err
    assert "`make demo` or `make live`" in err
    assert err.count("warning: STEELYARD_DATADIR is no setting") == 1


@contextmanager
def stack_that_is_not_there(tmp_path: Path) -> Iterator[None]:
    """A stack as to its files; nobody listens where they say that its Kafka is."""
    with hold_stack(tmp_path):
        environment = {"STEELYARD_KAFKA": "127.0.0.1:1", "STEELYARD_DATA_DIR": str(tmp_path)}
        Stack("demo", 1, 2, "127.0.0.1:1", "ws://x", 80, environment).write(tmp_path)
        yield


def test_a_name_that_is_no_setting_is_said_once_where_a_stack_is_joined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("STEELYARD_WINDOS", "1s")
    with stack_that_is_not_there(tmp_path), patch.dict(os.environ):  # where joining sets more
        assert load_settings().kafka == "127.0.0.1:1"
    err = capsys.readouterr().err
    assert "using the demo that runs here" in err
    assert err.count("warning: STEELYARD_WINDOS is no setting") == 1


def test_a_name_that_is_no_setting_is_said_once_by_a_worker_that_joins(tmp_path: Path) -> None:
    """The command and the worker it becomes are one process."""
    environment = {"STEELYARD_DATA_DIR": str(tmp_path), "STEELYARD_WINDOS": "1s"}
    worker = Child("worker", python("-m", "app", "worker"), environment, tmp_path / "worker.log")
    with stack_that_is_not_there(tmp_path):
        worker.start()
        try:  # until it has found out that nobody is there
            worker.wait_until(
                "waiting", lambda: "waits for it" in worker.log.read_text(), START_LIMIT_S
            )
        finally:
            worker.kill()
    said = worker.log.read_text()
    assert "No Kafka answers at 127.0.0.1:1" in said
    assert said.count("warning: STEELYARD_WINDOS is no setting") == 1


def test_added_workers_have_names_of_their_own_and_are_stopped(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys\n"
        "from app.cli.stack.stack import claim_worker\n"
        "print(claim_worker(pathlib.Path(sys.argv[1])), flush=True)\n"
        "os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    first, second = (
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    )
    with first, second:
        assert first.stdout is not None
        assert second.stdout is not None
        names = {first.stdout.readline().strip(), second.stdout.readline().strip()}
        assert names == {"worker-2", "worker-3"}
        assert set(added_workers(tmp_path).values()) == {first.pid, second.pid}
        stop_added_workers(tmp_path, timeout_s=10)
        assert first.wait(5) == second.wait(5) == -signal.SIGTERM
    assert added_workers(tmp_path) == {}
    script = "import sys, pathlib; from app.cli.stack.stack import claim_worker as c\n"
    script += "print(c(pathlib.Path(sys.argv[1])))"
    again = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert again.stdout.strip() == "worker-2"


def test_other_settings_than_those_of_the_data_are_named_with_what_to_do(tmp_path: Path) -> None:
    with running_demo(tmp_path, kafka=None) as demo:
        wait_for(demo, tmp_path, "make worker")
        demo.send_signal(signal.SIGINT)
        assert demo.wait(STOP_LIMIT_S) == 0
    with running_demo(tmp_path, kafka=None, partitions=2) as demo:
        assert demo.wait(START_LIMIT_S) == 2
    said = output_of(tmp_path)
    assert "made with other settings" in said
    assert "feed: partitions is 1" in said
    assert f"rm -r {tmp_path / 'var' / 'kafka'} " in said
    assert "Traceback" not in said
    assert processes_of(tmp_path) == []


def test_a_recording_is_played_with_the_books_that_are_in_it(tmp_path: Path) -> None:
    excerpt = ROOT / "tests" / "data" / "coinm-ethusd-excerpt.jsonl.gz"
    assert demo_of.book_interval(excerpt) == "raw"
    empty = tmp_path / "empty.jsonl"
    empty.write_text('1 {"jsonrpc":"2.0","id":1,"result":"ok"}\n')
    with pytest.raises(UserError, match="no books"):
        demo_of.book_interval(empty)


def test_a_speed_without_a_recording_is_refused() -> None:
    with pytest.raises(UserError, match="--speed 10: it is of a recording"):
        demo_of.demo(speed="10", instruments=2)
