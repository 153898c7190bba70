"""The hot path may run compiled: the same Python sources, built by `make setup` with mypyc.

A build lies outside the packages, in a folder of the virtual environment whose name is a hash of
the sources and of the interpreter. So a source that was edited finds no build, and runs as it
stands until it is built again (app/hot_path/build.py). docs/decisions/0008-compiled.md has the
figures.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
SWITCH: Final = "STEELYARD_COMPILED"
"""Read from the environment, else from `.env`, before any setting can be."""
OFF: Final = frozenset({"0", "false", "no", "off", "f", "n"})


def _modules(*patterns: str) -> tuple[str, ...]:
    """Return the names of the modules whose files match, sorted."""
    found = {file.relative_to(ROOT) for pattern in patterns for file in ROOT.glob(pattern)}
    names = (".".join(file.with_suffix("").parts) for file in found if file.stem != "__init__")
    return tuple(sorted(names))


NOT_COMPILED: Final = frozenset(
    {
        "orderbook.windows.schema",  # read by documents and the API only
        "orderbook.windows.fields",  # likewise
        "orderbook.windows.field_types",  # likewise
        "app.processing.state_codec",  # calls compiled code of other packages
        "app.processing.window_config",  # a settings record, built into the others as a constant
    }
)
COMPILED: Final = tuple(
    name
    for name in _modules("orderbook/**/*.py", "deribit/decode_*.py", "app/processing/*.py")
    if name not in NOT_COMPILED
)
"""The hot path is these folders: a module that is added there is compiled, too."""
READ: Final = (
    *("deribit.message_shapes", "deribit.quote_state_shapes", "deribit.vocabulary"),
    *("deribit.served_instruments", "deribit.events", "orderbook.instrument_names"),
    *("app.processing.window_config", "models.frame", "models.status"),
)
"""What the compiled ones import of ours: its constants are built into them."""
LIBRARY: Final = "steelyard__mypyc"
"""The code of all compiled modules; each of these is only a door to it."""
COMPLETE: Final = "complete"
RUNS_COMPILED: Final = "compiled"


class Finder:
    """Finds the modules of a build before the path finder finds their sources."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != LIBRARY and name not in COMPILED:
            return None
        file = str(extension(self.folder, name))
        return spec_from_file_location(name, file, loader=ExtensionFileLoader(name, file))


def activate() -> str:
    """Let the build be imported, if there is one that fits; answer which of the two runs."""
    if is_switched_off():
        return f"pure Python, by {SWITCH}"
    folder = build_folder()
    if not (folder / COMPLETE).exists():
        return "pure Python: these sources are not built, see `make setup`"
    if any(name in sys.modules for name in COMPILED):
        return "pure Python: a part of it was imported before `app`"
    sys.meta_path.insert(0, Finder(folder))
    return RUNS_COMPILED


def is_switched_off() -> bool:
    """Return whether the environment, or else `.env`, says that no build is to be used."""
    value = os.environ.get(SWITCH)
    if not value:
        try:
            lines = Path(".env").read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):  # the settings say what is wrong with it
            return False
        entries = [line.partition("=") for line in lines]
        found = [entry for name, _, entry in entries if name.strip().upper() == SWITCH]
        value = found[-1] if found else ""
    return value.strip().strip("'\"").lower() in OFF


def build_folder() -> Path:
    """Return where the build of these very sources, for this interpreter, is or would be."""
    return Path(sys.prefix) / "compiled" / _key()


def source(name: str) -> Path:
    """Return the source of a module."""
    return ROOT.joinpath(*name.split(".")).with_suffix(".py")


def extension(folder: Path, name: str) -> Path:
    """Return the file of a compiled module in a build."""
    return folder.joinpath(*name.split(".")).with_suffix(
        str(sysconfig.get_config_var("EXT_SUFFIX"))
    )


def _key() -> str:
    found = hashlib.sha256(f"{sys.version} {sysconfig.get_platform()}".encode())
    for name in (*COMPILED, *READ):
        try:
            text = source(name).read_bytes()
        except OSError:  # a part is missing: no build can fit
            text = b""
        found.update(f"\n{name} {len(text)}\n".encode())
        found.update(text)
    return found.hexdigest()[:16]
