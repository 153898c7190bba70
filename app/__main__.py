"""`python -m app COMMAND`: the project's commands.

Data goes to stdout, all else to stderr; exit 0 is success, 1 a failure, 2 a mistake to mend.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from app.cli import COMMANDS
from app.cli.environment import explain
from app.cli.terminal.output import tolerate_encoding
from app.errors import UserError
from app.version import VERSION


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    tolerate_encoding()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our errors say it in full
    try:
        # Only the module of the command that is run: the others' imports would be waited for.
        named = given[0] if given and given[0] in COMMANDS else None
        command_line([named] if named else list(COMMANDS))(given, prog_name="python -m app")
    except UserError as error:
        _say(str(error))
        return error.exit_code
    except ValidationError as error:
        _say(explain(error))
        return UserError.exit_code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def command_line(names: list[str]) -> typer.Typer:
    """Return the command line with these commands."""
    cli = typer.Typer(
        help="Steelyard: live order-book and order-flow imbalance of Deribit perpetuals.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    cli.callback()(_group)  # with one command only, typer would drop its name
    for name in names:
        module, _, function = COMMANDS[name].partition(":")
        cli.command(name)(getattr(importlib.import_module(module), function))
    return cli


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"steelyard {VERSION}")
        raise typer.Exit


def _group(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Steelyard: live order-book and order-flow imbalance of Deribit perpetuals."""


def _say(message: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("error:", style="bold red", end=" ")
    console.print(message, markup=False)


if __name__ == "__main__":
    sys.exit(main())
