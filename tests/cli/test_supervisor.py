"""Children by themselves: their order, what is passed on of their output, and why they failed."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from app.cli.stack import supervisor
from app.cli.stack.supervisor import Child, ChildFailed, Output, Supervisor


class Children(Supervisor):
    """Runs the shell's commands given, by name."""

    def __init__(self, folder: Path, commands: dict[str, str], awaited: Path | None = None) -> None:
        super().__init__()
        self._folder, self._commands, self._awaited = folder, commands, awaited
        self.begun: list[str] = []

    async def on_started(self) -> None:
        output = Output(self._folder / "log")
        ready = self._awaited.exists if self._awaited else lambda: True
        for name, command in self._commands.items():
            environment, note = dict(os.environ), lambda name, _: self.begun.append(name)
            await self.add(
                Child(name, command, environment, self._folder, output, note, is_ready=ready)
            )


async def test_a_child_starts_when_the_one_before_is_ready(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = "sleep 0.3; touch ready; exec sleep 60"
    second = "test -e ready && echo it is; exit 3"
    children = Children(tmp_path, {"first": first, "second": second}, tmp_path / "ready")
    with pytest.raises(ChildFailed, match=r"second ended with exit code 3") as failed:
        await children.run()
    assert str(failed.value).endswith("\n  it is")
    said = capsys.readouterr().out
    assert said.index("second ended (exit code 3)") < said.index("first ended (exit code -15)")


async def test_what_is_not_ready_in_time_is_named_and_nothing_starts_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "CHILD_READY_TIMEOUT_S", 0.2)
    children = Children(tmp_path, {"a": "exec sleep 60", "b": "exec sleep 60"}, tmp_path / "never")
    with pytest.raises(ChildFailed, match="a was not ready"):
        await children.run()
    assert children.begun == ["a"]


async def test_what_ends_before_it_is_ready_ends_all(tmp_path: Path) -> None:
    children = Children(tmp_path, {"a": "exit 4", "b": "exec sleep 60"}, tmp_path / "never")
    with pytest.raises(ChildFailed, match=r"a ended with exit code 4.*\n  \(it said nothing\)"):
        await asyncio.wait_for(children.run(), 10)
    assert children.begun == ["a"]


async def test_lines_are_kept_and_passed_on_whatever_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LONGEST_LINE_BYTES", 40)
    command = """printf 'one\\n\\377two\\n%060d\\nno end' 7; exit 1"""
    with pytest.raises(ChildFailed):
        await Children(tmp_path, {"a": command}).run()
    lines = (tmp_path / "log" / "a.log").read_text().splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("one", "�two", "no end")
    assert "".join(lines[2:-1]) == f"{7:060d}"
    assert "| no end\n" in capsys.readouterr().out


async def test_names_have_colours_on_a_terminal_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(ChildFailed):
        await Children(tmp_path, {"a": "echo hello; exit 1"}).run()
    said = capsys.readouterr().out
    assert "\033[0mhello\n" in said
    assert "\033[" not in (tmp_path / "log" / "a.log").read_text()
    assert "\033[" not in next(line for line in said.splitlines() if "a started" in line)
