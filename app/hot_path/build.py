"""`python -m app.hot_path.build`: builds the hot path with mypyc, where a C compiler is at hand.

The machine's own is used, else the package ziglang, which the set-up installs only then. Without a
compiler, or if the build fails, everything runs as pure Python, so this never fails: it says in one
line which of the two it will be, and writes the word to the file that it is given.
`--missing` builds nothing and prints what is not there: `compiler`, `headers`, `packages`, or
nothing.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from app.hot_path.finder import COMPILED, COMPLETE, LIBRARY, READ, build_folder, extension, source

BUILD_TIMEOUT_S: Final = 900
_SCRIPT: Final = """\
import sys
from mypyc.build import mypycify
from setuptools import setup

modules = mypycify(
    ["--config-file=mypy.ini", *sys.argv.pop().split()],
    opt_level="2", debug_level="0", group_name="steelyard",
)
setup(name="steelyard", ext_modules=modules)
"""


def main() -> int:
    """Build what is not built yet."""
    if sys.argv[1:] == ["--missing"]:
        print(*_missing()[:1])
        return 0
    folder = build_folder()
    problem = None if (folder / COMPLETE).exists() else _build(folder)
    word = "pure" if problem else "compiled"
    if problem:
        print(f"the hot path stays pure Python: {problem}", file=sys.stderr)
    else:
        print("the hot path is compiled", file=sys.stderr)
    for path in sys.argv[1:]:
        Path(path).write_text(word + "\n")
    return 0


def _build(folder: Path) -> str | None:
    """Build into a folder; answer why that cannot be."""
    if missing := _missing():
        return missing[1]
    print("compiling the hot path (about half a minute, once for each version) …", file=sys.stderr)
    builds = folder.parent
    stage = builds / f"stage-{os.getpid()}"
    log = builds / "build.log"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    try:
        _copy_sources(stage)
        if build_folder() != folder:
            return "its sources changed while they were read; try again"
        if not _compile(stage, log):
            return f"the build failed, {log} says why"
        for old in builds.iterdir():
            if old.is_dir() and old != stage and not old.name.startswith("stage-"):
                shutil.rmtree(old)
        whole = builds / f"stage-{os.getpid()}-whole"
        for name in (*COMPILED, LIBRARY):
            file = extension(whole, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(extension(stage, name), file)
        (whole / COMPLETE).touch()
        whole.rename(folder)
    except OSError as error:
        return f"the build failed: {error}"
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return None


def _missing() -> tuple[str, str] | tuple[()]:
    """Return what a build needs and is not there: a word for it, and a sentence."""
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        return "headers", f"there is no {header} (Debian: python3-dev)"
    for package in ("mypyc", "setuptools"):
        if find_spec(package) is None:
            return "packages", f"{package} is not installed, see requirements-build.lock"
    if _compiler() is None:
        return "compiler", "there is no C compiler, see requirements-compiler.lock"
    return ()


def _compiler() -> list[str] | None:
    """Return the command of the C compiler: the one that this Python was built with, or zig's."""
    own = shlex.split(os.environ.get("CC") or str(sysconfig.get_config_var("CC") or "cc"))
    if shutil.which(own[0]) is not None:
        return own
    return [sys.executable, "-m", "ziglang", "cc"] if find_spec("ziglang") is not None else None


def _copy_sources(stage: Path) -> None:
    """Copy what is needed, away from the project's own configuration."""
    for name in (*COMPILED, *READ):
        copy = stage.joinpath(*name.split(".")).with_suffix(".py")
        copy.parent.mkdir(parents=True, exist_ok=True)
        # `app` itself names the whole application, which would have to be type-checked, too.
        for folder in copy.relative_to(stage).parents:
            if folder.parts:
                (stage / folder / "__init__.py").touch()
        shutil.copy(source(name), copy)


def _compile(stage: Path, log: Path) -> bool:
    """Compile the copies; answer whether that worked."""
    (stage / "mypy.ini").write_text("[mypy]\ncache_dir = .mypy_cache\n")
    files = [str(Path(*name.split(".")).with_suffix(".py")) for name in COMPILED]
    # -g would double the compiler's time; the rest is what this Python was built with. A function
    # that is hidden is called directly, or in place: −3 % of the instructions.
    flags = f"{os.environ.get('CFLAGS', '')} -g0 -fvisibility=hidden".strip()
    environment = {**os.environ, "CFLAGS": flags, "CC": shlex.join(_compiler() or [])}
    for place in ("GLOBAL", "LOCAL"):  # else it is below the home folder, and stays there
        environment[f"ZIG_{place}_CACHE_DIR"] = str(stage / "zig")
    command = [sys.executable, "-c", _SCRIPT, "build_ext", "--inplace", " ".join(files)]
    with log.open("wb") as output:
        try:
            run = subprocess.run(  # noqa: S603 - this interpreter, and file names of ours
                command,
                cwd=stage,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=BUILD_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return False
    return run.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
