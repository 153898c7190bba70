"""A build is used if and only if it was made of these very sources; all else runs as Python."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app import WHAT_RUNS
from app.hot_path import build as compile
from app.hot_path import finder as compiled
from app.hot_path.finder import (
    COMPILED,
    COMPLETE,
    READ,
    RUNS_COMPILED,
    SWITCH,
    activate,
    build_folder,
)

ROOT = Path(__file__).parents[2]


def test_every_module_of_the_hot_path_is_of_the_build_that_is_said() -> None:
    for name in COMPILED:
        file = importlib.import_module(name).__file__
        assert file is not None
        assert (not file.endswith(".py")) is (WHAT_RUNS == RUNS_COMPILED), file


@pytest.mark.parametrize("word", ["0", "false", "OFF"])
def test_it_can_be_switched_off(tmp_path: Path, word: str) -> None:
    (tmp_path / ".env").write_text(f"STEELYARD_INSTALLATION=x\n{SWITCH} = '{word}'\n")
    code = "import app, orderbook.book.side; print(app.WHAT_RUNS, orderbook.book.side.__file__)"
    for environment in ({SWITCH: word}, {}):
        where = ROOT if environment else tmp_path
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=where,
            env={**environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.startswith(f"pure Python, by {SWITCH} ")
        assert run.stdout.strip().endswith("side.py")


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources of the hot path elsewhere, and an environment of its own for their build."""
    for name in (*COMPILED, *READ):
        file = compiled.source(name)
        copy = tmp_path / "copy" / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    monkeypatch.setattr(compiled, "ROOT", tmp_path / "copy")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "copy"


@pytest.mark.parametrize("name", ["orderbook/book/side.py", "deribit/message_shapes.py"])
def test_an_edited_source_has_no_build(copied: Path, name: str) -> None:
    before = build_folder()
    assert build_folder() == before
    with (copied / name).open("a") as file:
        file.write("# edited\n")
    assert build_folder() != before


def test_only_a_whole_build_is_used_and_not_into_a_program_that_runs(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_folder()
    folder.mkdir(parents=True)
    assert "not built" in activate()
    (folder / COMPLETE).touch()
    assert "imported before" in activate()
    finders = list(sys.meta_path)
    monkeypatch.setattr(compiled, "COMPILED", ("orderbook.not_imported",))
    (build_folder()).mkdir(parents=True)
    (build_folder() / COMPLETE).touch()
    assert activate() == RUNS_COMPILED
    assert [type(each).__name__ for each in sys.meta_path if each not in finders] == ["Finder"]


def test_without_a_compiler_it_goes_on_as_python(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    word = copied.parent / "word"
    monkeypatch.setenv("PATH", str(copied))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(compile, "find_spec", lambda name: None if name == "ziglang" else name)
    monkeypatch.setattr(sys, "argv", ["compile", str(word)])
    assert compile.main() == 0
    assert word.read_text() == "pure\n"
    assert "there is no C compiler" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["compile", "--missing"])
    assert compile.main() == 0
    assert capsys.readouterr().out == "compiler\n"
    assert not build_folder().exists()


def test_a_build_that_fails_is_said_and_leaves_nothing(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compile, "_missing", lambda: ())
    monkeypatch.setattr(compile, "_SCRIPT", "raise SystemExit('broken')")
    monkeypatch.setattr(sys, "argv", ["compile"])
    assert compile.main() == 0
    said = capsys.readouterr().err
    assert "the build failed" in said
    log = build_folder().parent / "build.log"
    assert str(log) in said
    assert "broken" in log.read_text()
    assert [path.name for path in log.parent.iterdir()] == ["build.log"]


def test_the_compiler_of_the_index_is_used_only_where_there_is_no_other(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile, "find_spec", lambda name: name)
    own = copied / "my-cc"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setenv("PATH", str(copied))
    monkeypatch.setenv("CC", "my-cc -pipe")
    assert compile._compiler() == ["my-cc", "-pipe"]
    own.unlink()
    assert compile._compiler() == [sys.executable, "-m", "ziglang", "cc"]
