"""The command line: errors that can be mended, and files that list what the code knows."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from honcho.environ import parse_procfile

from app.__main__ import command_line, main
from app.cli import COMMANDS
from app.cli.settings_ import as_text, example_file, meaning
from app.cli.stack.run import procfile
from app.settings import Settings
from exchange.__main__ import main as exchange

ROOT = Path(__file__).resolve().parents[2]


def run(capsys: pytest.CaptureFixture[str], *arguments: str, expect: int = 0) -> tuple[str, str]:
    code = main(list(arguments))
    captured = capsys.readouterr()
    assert code == expect, captured.err
    return captured.out, captured.err


def test_each_command_exists_and_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    command_line(list(COMMANDS))
    for name in COMMANDS:
        out, _ = run(capsys, name, "--help")
        assert f"python -m app {name}" in out


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert run(capsys, "--version")[0] == f"steelyard {project['version']}\n"


def test_an_unknown_command_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = run(capsys, "nothing", expect=2)
    assert "nothing" in err


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PARTITIONS", "0", "STEELYARD_PARTITIONS='0'"),
        ("WINDOWS", "10x", "'10x' is not a duration"),
        ("WINDOWS", "150ms", "multiple of 100 ms"),
        ("CHANNELS", "book,tape", "unknown channels ['tape']"),
        ("VENUE_URL", "http://x", "must start with ws://"),
        ("CLIENT_ID", "me", "set both STEELYARD_CLIENT_ID and STEELYARD_CLIENT_SECRET"),
        ("WEB_HOST", "0.0.0.0", "STEELYARD_ALLOW_REMOTE_WEB"),
        ("INSTALLATION", "a b", "STEELYARD_INSTALLATION='a b'"),
        ("KAFKA_PORT", "70000", "STEELYARD_KAFKA_PORT='70000'"),
        ("KAFKA", "kafka:90920", "Port out of range"),
        ("VENUE_URL", "ws://127.0.0.1:99999/ws/api/v2", "Port out of range"),
    ],
)
def test_a_wrong_setting_is_named_as_it_was_set(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    message: str,
) -> None:
    monkeypatch.setenv(f"STEELYARD_{name}", value)
    _, err = run(capsys, "settings", expect=2)
    assert message in err
    assert "Traceback" not in err


def test_a_name_that_is_no_setting_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("STEELYARD_WINDOS=1s\nOTHER=1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", ".env")
    monkeypatch.setenv("STEELYARD_CHANELS", "book")
    monkeypatch.setenv("STEELYARD_SERVICE_HOST", "10.0.0.1")
    _, err = run(capsys, "settings")
    assert [line for line in err.splitlines() if line.startswith("warning: ")] == [
        "warning: STEELYARD_CHANELS is no setting, and is ignored; "
        "did you mean STEELYARD_CHANNELS?",
        "warning: STEELYARD_SERVICE_HOST is no setting, and is ignored; "
        "`.env.example` lists them all",
        "warning: STEELYARD_WINDOS is no setting, and is ignored; did you mean STEELYARD_WINDOWS?",
    ]


def test_a_wrong_setting_ends_a_worker_that_faust_starts_with_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_WINDOWS", "7q")
    with pytest.raises(SystemExit) as ended:
        importlib.import_module("app").__getattr__("app")  # as `faust -A app` does
    assert ended.value.code == 2
    assert "STEELYARD_WINDOWS='7q': '7q' is not a duration" in capsys.readouterr().err


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_KAFKA", "")
    assert "kafka" not in Settings().model_fields_set


def test_settings_tell_value_and_source_and_hide_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("STEELYARD_HISTORY=7\nSTEELYARD_PARTITIONS=5\n")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    monkeypatch.setenv("STEELYARD_PARTITIONS", "6")
    monkeypatch.setenv("STEELYARD_CLIENT_ID", "me")
    monkeypatch.setenv("STEELYARD_CLIENT_SECRET", "canary-5e1f")
    out, err = run(capsys, "settings", "--json")
    rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
    assert (rows["STEELYARD_HISTORY"]["value"], rows["STEELYARD_HISTORY"]["source"]) == (
        "7",
        ".env",
    )
    assert rows["STEELYARD_PARTITIONS"]["value"] == "6"
    assert rows["STEELYARD_PARTITIONS"]["source"] == "environment"
    assert rows["STEELYARD_STANDBYS"]["source"] == "default"
    assert rows["STEELYARD_CLIENT_SECRET"]["value"] == "***"
    table, _ = run(capsys, "settings")
    assert "canary-5e1f" not in out + err + table


def test_env_example_lists_every_setting_with_its_default() -> None:
    text = (ROOT / ".env.example").read_text()
    listed = dict(re.findall(r"^#(STEELYARD_[A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
    assert listed == {
        f"STEELYARD_{name.upper()}": as_text(name, field.get_default())
        for name, field in Settings.model_fields.items()
    }
    assert text == example_file(), "renew it: python -m app settings --example > .env.example"


def test_the_example_sets_nothing_and_its_defaults_are_valid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", ROOT / ".env.example")
    assert Settings().model_fields_set == set()
    uncommented = re.sub("^#(?=STEELYARD_)", "", example_file(), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(uncommented)
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    assert Settings() == Settings.model_validate({})


def test_every_setting_has_a_meaning() -> None:
    assert [name for name in Settings.model_fields if not meaning(name)] == []


def test_topics_without_kafka_end_with_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEELYARD_KAFKA", "127.0.0.1:1")
    started = time.monotonic()
    _, err = run(capsys, "topics", expect=2)
    assert "127.0.0.1:1 (STEELYARD_KAFKA)" in err
    assert time.monotonic() - started < 15


def test_topics_are_shown_created_and_mended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, installation: Settings
) -> None:
    for name in ("kafka", "installation", "partitions"):
        monkeypatch.setenv(f"STEELYARD_{name.upper()}", str(getattr(installation, name)))
    feed = installation.topic_prefix + "feed"

    def state(*arguments: str, expect: int = 0) -> dict[str, object]:
        from app.settings import settings

        settings.cache_clear()
        out, _ = run(capsys, "topics", "--json", *arguments, expect=expect)
        rows = [json.loads(line) for line in out.splitlines()]
        return next(row for row in rows if row["topic"] == feed) if rows else {}

    assert state()["status"] == "missing"
    assert state("--create")["status"] == "ok"
    monkeypatch.setenv("STEELYARD_PARTITIONS", "3")
    assert state(expect=2)["wrong"] == ["partitions is 2, wanted 3"]
    assert state("--recreate", feed, "--yes", expect=2)["status"] == "ok"  # the others are wrong
    _, err = run(capsys, "topics", "--alter", "tape", expect=2)
    assert "tape is not a topic of this installation" in err


def test_make_lists_every_target() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert declared is not None
    for target in declared[1].split():
        assert re.search(rf"^  make {target} +\S", listed, re.MULTILINE), target


def test_make_says_which_python_it_needs(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2\nexit 1\n')
    old.chmod(0o755)
    for name in ("Makefile", "requirements.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    made = subprocess.run(
        ["make", "setup", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert made.returncode == 2
    assert "needs Python 3.11 or newer" in made.stderr
    assert "Python 3.9.2" in made.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_procfile_runs_the_worker_and_what_it_needs() -> None:
    assert list(procfile()) == ["kafka", "exchange", "worker"]
    assert procfile()["worker"].endswith("-m faust -A app worker -l info")
    assert procfile() == dict(parse_procfile((ROOT / "Procfile").read_text()).processes)


def test_locks_are_hashed_and_hold_what_the_project_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = [re.split(r"[=<>~! ]", line)[0] for line in project["project"]["dependencies"]]
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        for name in names:
            assert re.search(rf"^{name}==\S+", text, re.MULTILINE), f"{name} in {lock}"
        pinned = len(re.findall(r"^\S+==", text, re.MULTILINE))
        assert pinned == len(re.findall(r"^\S+==.*\n +--hash=sha256:", text, re.MULTILINE))


@pytest.mark.parametrize("command", ["demo", "live", "kafka"])
@pytest.mark.parametrize("port", ["65536", "99999", "-1"])
def test_a_port_that_there_cannot_be_is_a_mistake(
    capsys: pytest.CaptureFixture[str], command: str, port: str
) -> None:
    _, err = run(capsys, command, "--port", port, expect=2)
    assert "Invalid value for '--port'" in err


@pytest.mark.parametrize("encoding", ["ascii", "cp1252:strict"])
def test_signs_that_the_terminal_lacks_are_replaced(encoding: str, tmp_path: Path) -> None:
    """Of all that is printed on stdout, help texts included."""
    environment = {name: v for name, v in os.environ.items() if "STEELYARD_" not in name}
    environment |= {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    environment["STEELYARD_DATA_DIR"] = str(tmp_path / "Füße ☃")
    for arguments in (["settings"], ["settings", "--example"], ["get", "--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "app", *arguments], cwd=tmp_path, env=environment,
            capture_output=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        if arguments == ["settings"]:
            assert "☃".encode(encoding.partition(":")[0], "replace") in done.stdout


def test_the_exchange_refuses_a_port_that_there_cannot_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        exchange(["--port", "65536"])
    assert stop.value.code == 2
    assert "0 to 65535" in capsys.readouterr().err
