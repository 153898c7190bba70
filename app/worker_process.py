"""Faust's worker process made plain: signals, no banner, no environment variables."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Mapping
from typing import Any, Final

import faust
from faust.cli.worker import worker as WorkerCommand
from faust.types.settings import Settings as FaustSettings

log = logging.getLogger("steelyard.worker")

PREFIXES: Final = ("FAUST_", "F_")
BY_PREFIX: Final = (
    *("DEBUG", "WORKDIR", "DATADIR", "BLOCKING_TIMEOUT", "FORCE_BLOCKING_TIMEOUT", "STRICT"),
    *("CONSOLE_PORT", "WEB_PORT", "WEB_BIND", "WEB_TRANSPORT"),
)
"""Names that Faust reads behind a prefix, for defaults that are all set here."""


def ignored_names(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the variables that Faust would obey and a worker does not.

    With PRODUCER_ACKS=0, for one, Kafka would lose what a commit has promised.
    """
    of_settings = {each.env_name for each in FaustSettings.SETTINGS.values() if each.env_name}
    of_faust = of_settings | {prefix + name for prefix in PREFIXES for name in BY_PREFIX}
    return sorted(of_faust & environment.keys())


class PlainWorker(faust.Worker):  # type: ignore[misc]
    """Faust's worker, of which nothing is on its streams but the log.

    Its spinner would log everything at DEBUG (F15); its banner and its remarks are no lines of a
    log. A closed terminal (SIGHUP) stops it as SIGTERM does, unless it was started by `nohup`.
    """

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """Take the level of the command line; Faust, too, drops the spinner here, or sets it up."""
        self.spinner = None
        logger.setLevel(level)

    def say(self, message: str) -> None:
        """Say nothing: what matters is logged."""

    def carp(self, message: str) -> None:
        """Say nothing: what matters is logged."""

    def _install_signal_handlers_unix(self) -> None:
        super()._install_signal_handlers_unix()
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            self.loop.add_signal_handler(signal.SIGHUP, self._schedule_shutdown, signal.SIGHUP)

    def _enter_debugger(self) -> None:
        """Faust would stop the loop at a debugger's prompt, for good."""
        log.warning("SIGUSR2 is ignored: Faust's debugger would stop this worker")


def _no_banner(_command: Any, _worker: Any) -> None:
    """Print nothing: the worker logs that it starts."""


WorkerCommand.on_worker_created = _no_banner
