"""B22: a running worker at DEBUG, asked for everything and then crashed, tells no secret.

Its log, its answers, its metrics and what it wrote into Kafka are searched for the secrets as they
are and as Base64, as HTTP Basic would carry them.
"""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from app.cli.local_worker import open_direct
from app.settings import Settings
from tests.harness.pipeline import Pipeline, Worker
from tests.harness.signals import CRASH

pytestmark = pytest.mark.timeout(240)

SECRET, TOKEN = "canary-of-the-key-5ab3", "canary-of-the-views-77c1"
READY_S = 90.0
ENDED_S = 60.0
PATHS = (
    *("/", "/livez", "/readyz", "/startupz", "/metrics", "/openapi.json", "/v1/instruments"),
    *("/v1/imbalance", "/v1/quality", "/v1/books/BTC-PERPETUAL", "/v1/windows/BTC-PERPETUAL"),
    *("/static/app.js", f"/v1/books/{TOKEN}", f"/v1/imbalance?{SECRET}=1", "/v1/ws", "/nowhere"),
)
TOPICS = ("feed", "live", "windows", "closed", "control", "refused")


@pytest.fixture
def worker(installation: Settings) -> Iterator[tuple[Pipeline, Worker]]:
    """A worker that has logged in at the venue with its key, and says all there is to say."""
    secrets = {"client_id": "demo", "client_secret": SECRET, "web_token": TOKEN}
    with Pipeline(installation, **secrets, book_interval="raw") as pipeline:
        pipeline.application = "tests.harness.crashing"
        pipeline.start_exchange(
            *(
                "--instruments",
                "3",
                "--rate",
                "30",
                "--seed",
                "7",
                "--credentials",
                f"demo:{SECRET}",
            )
        )
        started = pipeline.worker(1)
        started.command[-1] = "debug"
        started.start()
        started.wait_ready(READY_S)
        yield pipeline, started


def told_at(url: str, authorization: str) -> str:
    """Return head and body of an answer, whatever it is."""
    request = urllib.request.Request(url, headers={"Authorization": authorization})
    try:
        with open_direct(request, 10) as answer:
            return f"{answer.status} {answer.headers} {answer.read()!r}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.headers} {error.read()!r}"


def found_in(text: str) -> list[str]:
    """Return the secrets, or their beginnings, that are in a text."""
    encoded = [base64.b64encode(each.encode()).decode()[:20] for each in (SECRET, TOKEN)]
    return [each for each in (SECRET, TOKEN, *encoded) if each in text]


def test_b22_no_secret_in_output_answers_metrics_or_records(
    worker: tuple[Pipeline, Worker],
) -> None:
    pipeline, running = worker
    answers = {}
    for path in PATHS:
        for authorization in (f"Bearer {TOKEN}", "Bearer wrong"):
            answers[path, authorization == "Bearer wrong"] = told_at(
                running.url + path, authorization
            )
    assert answers["/v1/imbalance", False].startswith("200")
    assert answers["/v1/imbalance", True].startswith("401")
    records = [record for topic in TOPICS for record in pipeline.read(pipeline.topic(topic))]
    assert len(records) > 10

    running.signal(CRASH)
    assert running.wait(ENDED_S) == 1, running.tail()
    log = running.log.read_text(errors="replace")
    assert "RuntimeError: refused [secret], Bearer [secret]" in log, running.tail()
    assert "Traceback" in log

    for path, answer in answers.items():
        # What the client itself has put into the address may be repeated to it.
        own = [each for each in (SECRET, TOKEN) if each in path[0]]
        assert [each for each in found_in(answer) if each not in own] == [], path
    assert found_in(repr(records)) == []
    assert found_in(log) == []
