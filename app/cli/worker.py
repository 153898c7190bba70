"""`worker`: one more worker, on a free port and with a name of its own, for what runs here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from app.cli.local_worker import local_url
from app.cli.stack.run import ROOT
from app.cli.stack.stack import Stack, StackError, claim_worker, running_stack
from app.embedded_kafka.processes import free_port
from app.settings import settings, warn_of_unknown_names


def worker() -> None:
    """Add one more worker to the demo or live stack that runs in this folder; Ctrl-C removes it."""
    try:
        data_dir = settings().data_dir
        stack = _stack_in(data_dir)
        if stack.wants_token and settings().web_token is None:
            raise StackError(
                f"The {stack.kind} that runs here asks for a token; this worker would not.\n"
                "Set STEELYARD_WEB_TOKEN to the same, in the environment or .env."
            )
    except (ValidationError, StackError):
        warn_of_unknown_names()  # of which one may be why; else the worker says it, as which we end
        raise
    name, port = claim_worker(data_dir), free_port(stack.web_host)
    Console(stderr=True, highlight=False, markup=False).print(
        f"{name} joins the {stack.kind}: {local_url(stack.web_host, port)}/  (Ctrl-C removes it)"
    )
    environment = os.environ | stack.environment
    environment |= {"STEELYARD_WORKER_NAME": name, "STEELYARD_WEB_PORT": str(port)}
    os.chdir(ROOT)  # `faust -A app` looks there
    command = [sys.executable, "-m", "faust", "-A", "app", "worker", "-l", "info"]
    # In place of this process: signals reach the worker itself, and the name is held by its pid.
    os.execve(sys.executable, command, environment)  # noqa: S606


def _stack_in(data_dir: Path) -> Stack:
    stack = running_stack(data_dir)
    if stack is None:
        raise StackError(
            f"Nothing runs in {data_dir.resolve()} that a worker could join.\n"
            "Start it first: `make demo` or `make live`. With a Kafka of your own, start workers "
            "by\n`faust -A app worker -l info`, each with its STEELYARD_WORKER_NAME and "
            "STEELYARD_WEB_PORT."
        )
    return stack
