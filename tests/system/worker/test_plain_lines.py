"""A worker obeys its settings only, and what it says is its log, from its start to its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from faust.types.settings import Settings as FaustSettings

from app.__main__ import main
from app.settings import Settings
from app.topics.admin import alter, connect, describe, ensure_topics, topics
from app.worker import Steelyard, data_dir
from app.worker_process import ignored_names
from tests.harness.pipeline import Pipeline
from tests.harness.processes import ROOT

START_LIMIT_S = 45.0
WRONG = {
    **{
        each.env_name: "0"
        for each in FaustSettings.SETTINGS.values()
        if each.env_name and not each.env_name.startswith("PRODUCER_LINGER_MS")
    },
    "PRODUCER_ACKS": "0",
    "CONSUMER_AUTO_OFFSET_RESET": "latest",
    "PROCESSING_GUARANTEE": "exactly_once",
    "APP_DATADIR": "/elsewhere",
    "BROKER_COMMIT_INTERVAL": "3600",
    "APP_STORE": "rocksdb://",
}


PER_APP = {"logging_config", "reply_to"}
"""Made anew for each app."""


def test_no_variable_of_faust_changes_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def conf_of() -> dict[str, Any]:
        conf = Steelyard(configured).conf
        return {name: getattr(conf, name) for name in FaustSettings.SETTINGS if name not in PER_APP}

    configured = Settings(data_dir=tmp_path)
    plain = conf_of()
    for name, value in WRONG.items():
        monkeypatch.setenv(name, value)
    wrong = conf_of()
    assert {name: wrong[name] for name in plain if str(wrong[name]) != str(plain[name])} == {}
    assert plain["producer_acks"] == -1
    assert plain["consumer_auto_offset_reset"] == "earliest"
    assert Path(plain["datadir"]) == data_dir(configured)
    assert set(ignored_names()) >= WRONG.keys()


def lines_of(text: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    assert all({"level", "message", "timestamp", "logger"} <= line.keys() for line in found), text
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("stop", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_json_log_is_json_and_each_signal_stops_with_a_commit(
    installation: Settings, stop: signal.Signals
) -> None:
    with Pipeline(installation, ingest="false", log_format="json") as pipeline:
        worker = pipeline.worker(1)
        worker.env |= {"PRODUCER_ACKS": "0", "STEELYARD_WEB_PROT": "1"}
        worker.start()
        worker.wait_until(
            "given its partitions", lambda: "taken over" in worker.tail(), START_LIMIT_S
        )
        worker.signal(signal.SIGUSR2)  # Faust would wait for a person at a debugger
        worker.wait_until("heard", lambda: "SIGUSR2 is ignored" in worker.tail(), START_LIMIT_S)
        worker.signal(stop)
        assert worker.wait(START_LIMIT_S) == 0, worker.tail()
    said = lines_of(worker.log.read_text())
    told = " ".join(line["message"] for line in said)
    assert f"of the installation {installation.installation}" in told
    assert "PRODUCER_ACKS" in told
    assert "did you mean STEELYARD_WEB_PORT" in told
    assert not any("Traceback" in json.dumps(line) for line in said)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("wrong", [{"STEELYARD_PARTITIONS": "0"}, {"STEELYARD_APP_ID": "x"}])
def test_a_refused_start_is_json_too(tmp_path: Path, wrong: dict[str, str]) -> None:
    given = {"STEELYARD_LOG_FORMAT": "json", "STEELYARD_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "faust", "-A", "app", "worker"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **given, **wrong},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (name,) = wrong
    assert name in lines_of(done.stderr)[-1]["message"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("WEB_PORT", "tcp://10.1.2.3:6066"), ("KAFKA_PORT", "udp://10.1.2.3:53")],
)
def test_a_service_link_is_told_from_a_setting(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"STEELYARD_{name}", value)
    monkeypatch.setenv("STEELYARD_SERVICE_PORT", "tcp://10.1.2.3:1")
    assert main(["settings", "--json"]) == 0
    told = capsys.readouterr()
    rows = {row["name"]: row for row in map(json.loads, told.out.splitlines())}
    assert rows[f"STEELYARD_{name}"]["source"] == "default"
    for given in (f"STEELYARD_{name}={value}", "STEELYARD_SERVICE_PORT=tcp://10.1.2.3:1"):
        assert f"{given} is ignored: it is a service link of Kubernetes" in told.err
    assert "enableServiceLinks: false" in told.err


@pytest.mark.parametrize("name", ["KAFKA", "HISTORY"])
def test_a_link_where_kubernetes_gives_none_is_refused_and_explained(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"STEELYARD_{name}", "tcp://10.1.2.3:9092")
    assert main(["settings"]) == 2
    told = capsys.readouterr().err
    assert f"STEELYARD_{name}=tcp://10.1.2.3:9092" in told
    assert "enableServiceLinks: false" in told


def test_copies_in_sync_follow_from_the_replication() -> None:
    for replication, wanted in ((1, "1"), (2, "2"), (3, "2"), (5, "2")):
        made = topics(Settings(replication=replication))
        assert {topic.configs["min.insync.replicas"] for topic in made} == {wanted}


async def test_too_few_copies_in_sync_are_refused_and_mended(installation: Settings) -> None:
    one = installation.model_copy(update={"partitions": 1})
    await ensure_topics(one)
    # The broker of the tests is alone, so what a cluster would be asked for is compared here.
    two = topics(one.model_copy(update={"replication": 2}))
    async with connect(one) as admin:
        found = [each for state in await describe(admin, two) for each in state.mismatches()]
        named = [each for each in found if each.what == "min.insync.replicas"]
        assert {each.topic for each in named} == {topic.name for topic in two}
        assert all(each.mend.endswith(f"--alter {each.topic}") for each in named)
        await alter(admin, two[0])
        deadline = time.monotonic() + START_LIMIT_S
        while any(
            each.what == "min.insync.replicas"
            for each in (await describe(admin, two[:1]))[0].mismatches()
        ):  # the broker applies it a moment after its answer
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
