"""A name that cannot be had is refused where it is given; one that was stored harms nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from app.__main__ import main
from app.settings import Settings, settings
from deribit.served_instruments import why_not_served
from models.subscription import Subscription, encode_subscription
from tests.harness.pipeline import Pipeline, Worker
from tests.processing.market import START_MS

pytestmark = pytest.mark.broker

BTC, SOL = "BTC-PERPETUAL", "SOL_USDC-PERPETUAL"
TYPO, OPTION, NO_NAME = "BTC-PERPETUALS", "ETH-25DEC26-2800-P", "BTC.PERP"
ENDED = "ETH-26DEC25"
"""Its name is that of a future, but the venue does not list it (any more)."""


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command with a worker's settings; return the exit code and what it said."""

    def run(worker: Worker, *arguments: str) -> tuple[int, str]:
        for name in (name for name in worker.env if name.startswith("STEELYARD_")):
            monkeypatch.setenv(name, worker.env[name])
        settings.cache_clear()
        code = main(list(arguments))
        return code, capsys.readouterr().err

    return run


async def store(installation: Settings, *names: str) -> None:
    """Write subscriptions as a release did that took every name."""
    async with AIOKafkaProducer(bootstrap_servers=installation.kafka) as producer:
        for name in names:
            value = encode_subscription(Subscription(name, enabled=True))
            topic = f"{installation.topic_prefix}subscriptions"
            await producer.send_and_wait(topic, value, key=name.encode())


def recording(path: Path) -> Path:
    """Write a recording of an option and of a dated future, of the same books."""
    lines = []
    for number in range(40):
        for name in (OPTION, "SOL_USDC-25DEC26"):
            at_ms = START_MS + 250 * number
            data: dict[str, Any] = {"timestamp": at_ms, "instrument_name": name}
            data |= {"type": "change" if number else "snapshot", "change_id": 10 + number}
            data |= {"prev_change_id": 9 + number} if number else {}
            data |= {"bids": [["new", 20.0, 3.0 + number]], "asks": [["new", 21.0, 2.0]]}
            params = {"channel": f"book.{name}.100ms", "data": data}
            message = {"jsonrpc": "2.0", "method": "subscription", "params": params}
            lines.append(f"{at_ms}000000 {json.dumps(message, separators=(',', ':'))}\n")
    path.write_text("".join(lines))
    return path


def degraded(worker: Worker) -> list[str]:
    """Return the warnings of a worker that is ready."""
    status, body = worker.get("/readyz")
    assert status == 200
    found: list[str] = body["data"]["reasons"]
    return found


@pytest.mark.timeout(300)  # two starts and five commands, on a machine that may be busy
def test_wrong_names_are_refused_or_said_and_the_worker_is_ready(
    installation: Settings, tmp_path: Path, run: Run
) -> None:
    given = f"{BTC},{ENDED}"
    with Pipeline(installation, instruments=given) as pipeline:
        pipeline.start_exchange("--instruments", "5", "--rate", "50")
        asyncio.run(store(installation, TYPO, OPTION, NO_NAME))
        worker = pipeline.start_worker(1)
        worker.wait_ready()
        said = degraded(worker)
        assert why_not_served(OPTION) in said
        for name in (TYPO, NO_NAME, ENDED):
            assert sum(name in why for why in said) == 1, said

        # What is given now: all of it, or nothing.
        code, why = run(worker, "subscribe", SOL, OPTION, "SOL_USDC-PERPETUL", "ETH-25DEC26")
        assert code == 2
        assert why_not_served(OPTION) in why
        assert f"Did you mean {SOL}" in why
        assert "ETH-25DEC26 is not among the 5 open futures" in why
        assert "nothing was subscribed" in why
        assert worker.get(f"/v1/imbalance/{SOL}")[0] == 404
        assert run(worker, "subscribe", SOL)[0] == 0
        worker.wait_until("subscribed", lambda: worker.get(f"/v1/imbalance/{SOL}")[0] == 200, 20)

        # What an earlier release had stored can be taken back.
        assert run(worker, "unsubscribe", TYPO, OPTION, NO_NAME)[0] == 0
        worker.wait_until(
            "taken back", lambda: not any(NO_NAME in why for why in degraded(worker)), 20
        )
        assert [why for why in degraded(worker) if TYPO in why or OPTION in why] == []

        # A recording of what is not served is refused once, and has no windows.
        code, why = run(worker, "replay", str(recording(tmp_path / "mixed.jsonl")))
        assert code == 0, why

        def has_windows() -> bool:
            return any(window["instrument"] == "SOL_USDC-25DEC26" for window in pipeline.windows())

        worker.wait_until("windows of the dated future", has_windows, 20, poll_s=0.5)
        refused = [json.loads(one.value) for one in pipeline.read(pipeline.topic("refused"))]
        assert [(one["instrument"], one["reason"]) for one in refused] == [
            (OPTION, why_not_served(OPTION))
        ]
        assert OPTION not in {window["instrument"] for window in pipeline.windows()}
        dated = [w for w in pipeline.windows() if w["instrument"] == "SOL_USDC-25DEC26"]
        assert dated[0]["ask_depth_1_usd_mean"] == 21.0 * 2.0
        assert worker.get(f"/v1/imbalance/{OPTION}")[0] == 404

        # And after a restart as before.
        asyncio.run(store(installation, TYPO))
        worker.stop()
        worker = pipeline.start_worker(1)
        worker.wait_ready()
        assert sum(TYPO in why for why in degraded(worker)) == 1


def test_settings_that_name_what_is_not_served_are_refused(
    installation: Settings, run: Run
) -> None:
    with Pipeline(installation) as pipeline:
        worker = pipeline.worker(1, instruments=f"{BTC},{OPTION}")
        code, why = run(worker, "settings")
        assert code == 2
        assert why_not_served(OPTION) in why
        assert "STEELYARD_INSTRUMENTS" in why
