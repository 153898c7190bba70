"""Settings of the venue: which one, with what key; and that nothing but the key's use shows it."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.cli.environment import explain
from app.cli.settings_ import describe
from app.cli.stack.run import shared_environment
from app.settings import PRODUCTION_URL, TESTNET_URL, Settings
from app.settings.secret_file import MAX_SECRET_FILE_BYTES
from deribit.auth import Credentials, Grant

CANARY = "canary-5e1f0a"


def refused(**given: Any) -> str:
    """Return what a person is told of settings that cannot be used."""
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    told = explain(caught.value)
    assert CANARY not in told
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    return told


def test_the_venue_is_production_unless_it_is_said_otherwise() -> None:
    assert Settings().venue_url == PRODUCTION_URL
    assert Settings(testnet=True).venue_url == TESTNET_URL
    assert Settings(testnet=True, venue_url=TESTNET_URL).venue_url == TESTNET_URL
    simulated = "ws://127.0.0.1:8089/ws/api/v2"
    assert Settings(venue_url=simulated).venue_url == simulated
    assert Settings(venue_url=simulated, testnet=True).venue_url == simulated


def test_testnet_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_TESTNET", "true")
    assert Settings().venue_url == TESTNET_URL
    monkeypatch.setenv("STEELYARD_VENUE_URL", PRODUCTION_URL)
    assert "STEELYARD_TESTNET is set" in refused()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://www.deribit.com/ws/api/v2", "must start with ws:// or wss://"),
        (f"wss://me:{CANARY}@www.deribit.com/ws/api/v2", "set STEELYARD_CLIENT_ID"),
    ],
)
def test_a_url_that_is_none(url: str, told: str) -> None:
    assert told in refused(venue_url=url)


def test_no_key_is_needed_and_a_whole_one_is_used() -> None:
    assert Settings().credentials is None
    made = Settings(client_id="id ", client_secret=f" {CANARY}\n")
    assert made.credentials == Credentials("id", CANARY, Grant.CLIENT_CREDENTIALS)
    signing = Settings(client_id="id", client_secret=CANARY, client_grant="client_signature")
    assert signing.credentials == Credentials("id", CANARY, Grant.CLIENT_SIGNATURE)
    unused = Settings(client_id="id", client_secret=CANARY, client_grant="none")
    assert unused.credentials is None


def test_the_secret_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{CANARY}\n")
    made = Settings(client_id="id", client_secret_file=path)
    path.unlink()  # read once, when the settings are
    assert made.credentials == Credentials("id", CANARY)
    assert made.model_copy(update={"partitions": 3}).credentials == Credentials("id", CANARY)
    assert CANARY not in repr(made) + str(made) + repr(made.model_dump())


def test_half_a_pair_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(CANARY)
    halves: list[dict[str, Any]] = [
        {"client_id": "id"},
        {"client_secret": CANARY},
        {"client_secret_file": path},
    ]
    for half in halves:
        told = refused(**half)
        assert "set both STEELYARD_CLIENT_ID and STEELYARD_CLIENT_SECRET" in told


def test_both_forms_of_the_secret_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(CANARY)
    told = refused(client_id="id", client_secret=CANARY, client_secret_file=path)
    assert "not both" in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file"),
        (b"", "must hold the secret on one line"),
        (b" \n", "must hold the secret on one line"),
        (f"{CANARY}\nmore".encode(), "must hold the secret on one line"),
        (b"x" * (MAX_SECRET_FILE_BYTES + 1), "must hold the secret on one line"),
        (b"\xff" + CANARY.encode(), "is not text"),
    ],
)
def test_a_file_that_holds_no_secret(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    said = refused(client_id="id", client_secret_file=path)
    assert f"STEELYARD_CLIENT_SECRET_FILE={path}" in said
    assert told in said


def test_a_secret_file_that_is_a_folder(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in refused(client_id="id", client_secret_file=tmp_path)


@pytest.mark.parametrize("host", ["www.deribit.com", "10.0.0.1", "[2001:db8::1]"])
def test_a_key_is_not_sent_in_the_clear_except_to_this_machine(host: str) -> None:
    key = {"client_id": "id", "client_secret": CANARY}
    assert "wss:// only" in refused(venue_url=f"ws://{host}:1/ws", **key)
    for here in ("127.0.0.1", "localhost", "[::1]"):
        assert Settings(venue_url=f"ws://{here}:1/ws", **key).credentials is not None


def test_the_command_that_lists_settings_masks_it(tmp_path: Path) -> None:
    rows = {
        row["name"]: row["value"] for row in describe(Settings(client_id="i", client_secret=CANARY))
    }
    assert rows["STEELYARD_CLIENT_SECRET"] == "***"
    assert CANARY not in repr(rows)


def test_what_runs_against_the_simulated_exchange_does_not_use_the_key_of_the_real_one() -> None:
    real = Settings(client_id="id", client_secret=CANARY)
    simulated = real.model_copy(update={"venue_url": "ws://127.0.0.1:1/", "client_grant": "none"})
    assert simulated.credentials is None
    environment = shared_environment(simulated)
    assert environment["STEELYARD_CLIENT_GRANT"] == "none"
    assert CANARY not in repr(environment)
