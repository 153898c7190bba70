"""Logs: one line a record, for people or as JSON; and no secret in any line, answer or metric."""

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import faust
import pytest
from aiohttp import ClientSession

from app.api.authentication import Access
from app.api.site import Limits
from app.monitoring.logs import HIDDEN, RepeatLimit, SecretFilter, logging_config
from app.monitoring.monitor import Monitor
from app.settings import Settings
from app.state.read_model import Readiness
from app.worker import PlainWorker
from faust_exact.progress_watchdog import Progress, look
from faust_exact.reachability import Reach
from tests.api.recorded import RecordedServing, served
from tests.harness.processes import Child, python

SECRET, TOKEN = "canary-of-the-secret-17", "canary-of-the-token-18"
CANARY = "canary-of-the"
START_TIMEOUT_S = 200


@pytest.fixture
def configured() -> Settings:
    return Settings(
        _env_file=None,
        client_id="somebody",
        client_secret=SECRET,
        web_token=TOKEN,
        worker_name="worker-9",
        log_format="json",
    )


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(configured: Settings, capsys: pytest.CaptureFixture[str]) -> str:
    """Configure logging as a worker does, log a few things, return what was written."""
    logging.config.dictConfig(logging_config(configured))
    log = logging.getLogger("steelyard.test")
    log.info("connected to %s, session %s", "the venue", "s-1", extra={"attempt": 2})
    log.warning("it sent %r", {"client_secret": SECRET, "deep": [SECRET, 5]})
    try:
        raise ValueError(f"refused {SECRET}, Bearer {TOKEN}")
    except ValueError:
        log.exception("it failed")
    log.error("several\nlines", extra={"headers": {"Authorization": f"Bearer {TOKEN}"}})
    return capsys.readouterr().err


def test_json_lines(
    configured: Settings, capsys: pytest.CaptureFixture[str], restored_logging: None
) -> None:
    lines = [json.loads(line) for line in logged(configured, capsys).splitlines()]
    assert len(lines) == 4
    first = lines[0]
    assert first["message"] == "connected to the venue, session s-1"
    assert (first["level"], first["logger"], first["worker"], first["attempt"]) == (
        "info",
        "steelyard.test",
        "worker-9",
        2,
    )
    assert first["timestamp"].endswith("Z")
    assert "ValueError: refused" in lines[2]["exception"]
    assert lines[3]["headers"] == {"Authorization": f"Bearer {HIDDEN}"}


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_secret_in_a_line(
    configured: Settings,
    capsys: pytest.CaptureFixture[str],
    restored_logging: None,
    log_format: str,
) -> None:
    told = logged(configured.model_copy(update={"log_format": log_format}), capsys)
    assert told.count(HIDDEN) >= 4
    assert CANARY not in told


def test_what_is_short_does_not_blacken_words() -> None:
    assert SecretFilter(["ab"]).hidden("a cabin") == "a cabin"
    assert SecretFilter(["ab"]).hidden("ab") == HIDDEN
    assert SecretFilter([""]).hidden("text") == "text"


def test_one_line_for_each_change_of_state(caplog: pytest.LogCaptureFixture) -> None:
    monitor = Monitor(None, None, None)
    ready = Readiness(True, [], {})
    told = [
        Readiness(False, ["tables are being recovered"], {}),
        Readiness(False, ["3 of 5 instruments wait for their first snapshot"], {}),
        ready,
        ready,
        Readiness(True, [], {}, ["the feed of partitions [1] is stale"]),
        Readiness(True, [], {}, ["the feed of partitions [1, 2] is stale"]),
        ready,
    ]
    with caplog.at_level(logging.INFO):
        for readiness in told:
            monitor.say(readiness)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "not ready: tables are being recovered"),
        ("INFO", "ready"),
        ("WARNING", "degraded: the feed of partitions [1] is stale"),
        ("INFO", "ready"),
    ]


async def test_no_codes_for_a_terminal_in_a_log() -> None:
    written = io.StringIO()
    worker = PlainWorker(faust.App("without-spinner"), stdout=written, stderr=written)
    worker.on_setup_root_logger(logging.Logger("root of the test"), logging.WARNING)
    await worker.on_execute()
    await worker.on_startup_finished()
    worker.on_worker_shutdown()
    assert written.getvalue() == ""


def test_one_line_when_kafka_falls_silent_and_one_when_it_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reach = Reach(None)
    with caplog.at_level(logging.INFO):
        for now, problem in enumerate(["", "Kafka is gone", "it does not answer", "gone", "", ""]):
            reach.say(problem, 10.0 * now)
            assert reach.is_lost == bool(problem)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "Kafka is gone"),
        ("INFO", "Kafka answers again, after 30 s"),
    ]


def passed(restraint: RepeatLimit, name: str, text: str, times: int) -> int:
    """Log a text often; return how many lines come of it."""
    records = [logging.LogRecord(name, 30, "", 1, text, None, None) for _ in range(times)]
    return sum(restraint.filter(each) for each in records)


def test_what_a_library_repeats_is_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    restraint = RepeatLimit(lambda: now[0])
    assert passed(restraint, "aiokafka.client", "no connection to 1", 500) == 3
    assert passed(restraint, "aiokafka.client", "no connection to 2", 1) == 0
    assert passed(restraint, "aiokafka.client", "something else", 2) == 2
    now[0] = 61.0
    with caplog.at_level(logging.INFO):
        assert passed(restraint, "aiokafka.client", "no connection to 1", 500) == 3
    assert caplog.messages == ["lines like others were left out: 498 of aiokafka.client"]


def test_a_library_that_never_says_the_same_is_bounded_too() -> None:
    restraint = RepeatLimit(lambda: 0.0)
    told = [passed(restraint, "faust.topics", "x" * number, 1) for number in range(1, 50)]
    assert sum(told) == 20


def test_changes_of_ours_are_let_through() -> None:
    restraint = RepeatLimit(lambda: 0.0)
    assert passed(restraint, "steelyard.ingest", "session closed", 20) == 20
    assert passed(restraint, "steelyard.ingest", "gap on a channel", 400) == 20


async def test_the_watchdog_says_nothing_of_an_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def highwaters(*tps: object) -> dict[object, int]:
        raise OSError("gone")

    keeper = SimpleNamespace(partitions={0: None}, input_tp=lambda number: ("feed", number))
    app = SimpleNamespace(
        reach=SimpleNamespace(is_lost=False),
        in_recovery=False,
        rebalancing=False,
        keepers=[keeper, keeper],
        consumer=SimpleNamespace(highwaters=highwaters),
    )
    with caplog.at_level(logging.INFO):
        for now in range(3):
            assert await look(app, Progress(), float(now)) is None
    assert caplog.records == []


async def test_no_secret_in_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(Access(TOKEN, is_local=False))
    with caplog.at_level(logging.DEBUG):
        async with served(RecordedServing(), limits=limits) as url, ClientSession() as http:
            for given in ({}, {"Authorization": f"Bearer {TOKEN}"}):
                for path in ("/metrics", "/readyz", "/openapi.json", "/", f"/v1/books/{TOKEN[:9]}"):
                    async with http.get(url + path, headers=given) as answer:
                        assert CANARY not in await answer.text()
                        assert CANARY not in str(answer.headers)
    assert CANARY not in caplog.text


@pytest.mark.timeout(START_TIMEOUT_S + 40)
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_worker_that_cannot_start_tells_no_secret(tmp_path: Path, log_format: str) -> None:
    environment = {
        "STEELYARD_CLIENT_ID": "somebody",
        "STEELYARD_CLIENT_SECRET": SECRET,
        "STEELYARD_WEB_TOKEN": TOKEN,
        "STEELYARD_WEB_HOST": "0.0.0.0",
        "STEELYARD_KAFKA": "127.0.0.1:9",
        "STEELYARD_DATA_DIR": str(tmp_path),
        "STEELYARD_LOG_FORMAT": log_format,
    }
    command = python("-m", "faust", "-A", "app", "worker", "-l", "debug")
    worker = Child("worker", command, environment, tmp_path / "worker.log").start()
    try:
        worker.wait_until(
            "waiting for Kafka", lambda: "waits for it" in worker.log.read_text(), START_TIMEOUT_S
        )
        assert worker.stop() == 0
    finally:
        worker.kill()
    told = worker.log.read_text()
    assert "STEELYARD_KAFKA" in told
    assert CANARY not in told
