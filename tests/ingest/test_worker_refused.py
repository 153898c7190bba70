"""A worker whose key the venue refuses ends with 2, says what to mend, and not the secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings import Settings
from tests.harness.pipeline import Pipeline

CANARY = "canary-77aa10"
EXIT_LIMIT_S = 60.0


@pytest.mark.timeout(120)
def test_13004_ends_the_worker_and_nothing_it_said_holds_the_secret(
    installation: Settings, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{CANARY}\n")
    key = {"client_id": "demo", "client_secret_file": str(secret)}
    with Pipeline(installation, **key, log_format="json") as pipeline:
        pipeline.start_exchange("--instruments", "2", "--rate", "10")
        worker = pipeline.worker(1)
        worker.command[-1] = "debug"
        worker.start()
        assert worker.wait(EXIT_LIMIT_S) == 2, worker.tail()
        said = worker.log.read_text()
    assert "the venue refuses the API key (public/auth: error 13004" in said
    for setting in (
        "STEELYARD_CLIENT_ID",
        "STEELYARD_CLIENT_SECRET_FILE",
        "STEELYARD_TESTNET",
        "clock",
    ):
        assert setting in said
    assert CANARY not in said
