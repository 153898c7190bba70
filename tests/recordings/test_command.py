"""`record` as a person starts it: a process that is stopped, killed, or runs out of disk."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from app.__main__ import main
from app.recordings.reader import DISCONNECT, read_recording, segments_of
from exchange import Config, Exchange
from tests.harness.commands import PATIENCE_S, Process, command, ended

LIVELY = {"seed": 7, "instruments": 3, "rate": 20.0}
POLL_S = 0.05
LIMIT_BYTES = 24_000


def recorder(
    url: str, folder: Path, *options: str, **more: Any
) -> AbstractAsyncContextManager[Process]:
    """Run `record` beside the folder that it writes."""
    folder.parent.mkdir(exist_ok=True, parents=True)
    environment = {"STEELYARD_VENUE_URL": url, "COLUMNS": "80"}
    arguments = ("record", f"--output={folder}", *options)
    return command(*arguments, environment=environment, cwd=folder.parent, **more)


def lines_in(folder: Path) -> list[tuple[int, bytes]]:
    if not folder.is_dir() or not segments_of(folder):
        return []
    return list(read_recording(folder, on_damage=lambda said: None))


async def until(condition: Callable[[], Any], process: Process) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            assert process.returncode is None
            await asyncio.sleep(POLL_S)


def verify(capsys: pytest.CaptureFixture[str], folder: Path) -> tuple[int, list[dict[str, Any]]]:
    code = main(["record", "--verify", str(folder), "--json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_segment_and_prints_the_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    folder = tmp_path / "out"
    async with (
        Exchange(Config(**LIVELY)) as venue,
        recorder(venue.url, folder, "--rotate=1s", "--compress=none") as process,
    ):
        await until(lambda: len(lines_in(folder)) > 30, process)
        process.send_signal(number)
        out, err = await ended(process)
        assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "SIMULATED" in err
    summary = json.loads(out)
    assert summary == json.loads((folder / "summary.json").read_text())
    assert summary["counts"]["lines"] == len(lines_in(folder))
    assert lines_in(folder)[-1][1] == DISCONNECT
    code, verdicts = verify(capsys, folder)
    assert code == 0
    assert {verdict["status"] for verdict in verdicts} == {"whole"}


@pytest.mark.parametrize("compression", ["zst", "none"])
async def test_killed_in_the_middle_it_goes_on_and_says_what_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], compression: str
) -> None:
    folder = tmp_path / "out"
    async with Exchange(Config(**LIVELY)) as venue:
        async with recorder(venue.url, folder, f"--compress={compression}") as process:
            await until(lambda: len(lines_in(folder)) > 30, process)
            process.kill()
            await ended(process)
        (first,) = segments_of(folder)
        bytes_before, lines_before = first.read_bytes(), lines_in(folder)
        assert len(lines_before) > 30
        assert verify(capsys, folder)[0] == 1
        async with recorder(
            venue.url, folder, f"--compress={compression}", "--duration=1s"
        ) as process:
            _, err = await ended(process)
            assert process.returncode == 0, err
    assert f"{first.name} was not ended" in err
    assert f"its first {len(lines_before)} lines are whole" in err
    assert first.read_bytes() == bytes_before
    found = lines_in(folder)
    assert found[: len(lines_before)] == lines_before
    assert found[len(lines_before)][1] == DISCONNECT
    code, verdicts = verify(capsys, folder)
    assert code == 0
    assert [verdict["status"] for verdict in verdicts] == ["cut", "whole", "whole"]
    assert main(["compute", str(folder), "--length", "100ms"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) > 5
    assert ("damaged:" in captured.err) == (compression != "none")


async def test_a_full_disk_ends_it_with_what_was_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit on the size of files stands for the disk: manifests are small, the segment is not."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, LIMIT_BYTES))

    folder = tmp_path / "out"
    async with (
        Exchange(Config(**LIVELY)) as venue,
        recorder(venue.url, folder, "--compress=none", preexec_fn=limit) as process,
    ):
        out, err = await ended(process)
    assert process.returncode == 1
    assert out == ""
    assert "Traceback" not in err
    assert "File too large" in err
    kept = lines_in(folder)
    assert f"up to its line {len(kept):,}" in err
    assert len(kept) > 0
    assert verify(capsys, folder)[0] == 0


async def test_a_venue_that_is_not_there_is_said(tmp_path: Path) -> None:
    async with recorder("ws://127.0.0.1:1/", tmp_path / "out", "--duration=1s") as process:
        out, err = await ended(process)
    assert process.returncode == 1
    assert out == ""
    assert "not connected to the venue" in err
    assert "nothing was recorded" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--channels", "tape"], "'tape' is no channel"),
        (["--instruments", "a b"], "'a b' is no instrument name"),
        (["--interval", "5s"], "raw, 100ms or agg2"),
        (["--rotate", "soon"], "'soon' is not a duration"),
        (["--rotate", "10ms"], "at least 1000 ms"),
        (["--rotate-bytes", "12"], "write a number from 4096"),
        (["--rotate-bytes", "5XB"], "write a number from 4096"),
        (["--duration", "x"], "'x' is not a duration"),
        (["--verify", "absent"], "absent"),
        (["--output", "/proc/none"], "/proc/none"),
    ],
)
def test_bad_input_is_said_and_exits_2(
    options: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEELYARD_KAFKA", "127.0.0.1:1")
    assert main(["record", *options]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""
