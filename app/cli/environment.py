"""The settings a command works with: the environment, `.env`, and the stack that runs here."""

from __future__ import annotations

import os
from typing import Final

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from app.cli.stack.stack import running_stack
from app.settings import Settings, settings, warn_of_unknown_names
from app.settings.names import env_name

SECRET_FIELDS: Final = frozenset({"client_secret"})


def load_settings(*, join: bool = True) -> Settings:
    """Return the settings; with `join`, of the demo or live stack that runs in this folder.

    Settings made by hand win: where STEELYARD_KAFKA is set, no stack is joined. A command calls it
    once: names that are no setting are said here.
    """
    warn_of_unknown_names()
    loaded = settings()
    if not join or "kafka" in loaded.model_fields_set:
        return loaded
    stack = running_stack(loaded.data_dir)
    if stack is None:
        return loaded
    for name, value in stack.environment.items():
        os.environ.setdefault(name, value)
    settings.cache_clear()
    Console(stderr=True).print(
        f"[dim]using the {stack.kind} that runs here (Kafka {escape(stack.kafka)})[/dim]",
        highlight=False,
    )
    return settings()


def explain(error: ValidationError) -> str:
    """Return what is wrong with the settings, by the names that a person set."""
    if error.title != Settings.__name__:
        return str(error)
    lines = []
    for problem in error.errors(include_url=False):
        message = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:  # a rule over several settings: its message names them
            lines.append(message)
            continue
        field = str(problem["loc"][0])
        is_secret = field in SECRET_FIELDS or "@" in str(problem["input"])  # a URL with a password
        value = "***" if is_secret else repr(problem["input"])
        lines.append(f"{env_name(field)}={value}: {message}")
    where = "They come from the environment or .env; `.env.example` lists them all."
    return "settings cannot be used:\n  " + "\n  ".join(lines) + f"\n{where}"
