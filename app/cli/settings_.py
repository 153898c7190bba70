"""`settings`: every setting with its value, where it comes from, and what it means."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from app.cli.environment import load_settings
from app.durations import format_duration, format_span
from app.hot_path import WHAT_RUNS
from app.settings import Settings
from app.settings.names import env_name

MASK: Final = "***"
_HEAD: Final = """\
# Every setting of Steelyard, with its default. Copy to .env and uncomment what you change;
# the environment wins over .env. Made by `python -m app settings --example`.
"""


def settings(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    example: Annotated[bool, typer.Option("--example", help="Print .env.example.")] = False,
) -> None:
    """Print all settings with value, source and meaning; secrets are masked."""
    if example:
        sys.stdout.write(example_file())
        return
    rows = describe(load_settings())
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    table = Table("setting", "value", "from", "meaning")
    table.columns[0].no_wrap = True
    for row in rows:
        # A value may hold [brackets], which are markup to a table.
        table.add_row(*(str(value).replace("[", r"\[") for value in row.values()))
    Console().print(table)
    print(f"The hot path runs {WHAT_RUNS}.")


def describe(loaded: Settings) -> list[dict[str, str]]:
    """Return one row per setting."""
    return [
        {
            "name": env_name(name),
            "value": as_text(name, getattr(loaded, name)),
            "source": _source(name, loaded),
            "meaning": meaning(name),
        }
        for name in Settings.model_fields
    ]


def example_file() -> str:
    """Return the text of .env.example."""
    entries = [
        f"\n# {meaning(name)}\n#{env_name(name)}={as_text(name, field.get_default())}\n"
        for name, field in Settings.model_fields.items()
    ]
    return _HEAD + "".join(entries)


def as_text(name: str, value: Any) -> str:
    """Return a value as it is written in the environment."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, bool):
        return str(value).lower()
    if name == "windows":
        return ",".join(format_duration(length) for length in value)
    if name == "hopping":
        return ",".join(format_span(span) for span in value)
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, Path):
        return value.as_posix()
    return str(value)


def meaning(name: str) -> str:
    """Return a setting's description on one line."""
    return " ".join((Settings.model_fields[name].description or "").split())


def _source(name: str, loaded: Settings) -> str:
    if name not in loaded.model_fields_set:
        return "default"
    in_environment = any(variable.upper() == env_name(name) for variable in os.environ)
    return "environment" if in_environment else ".env"
