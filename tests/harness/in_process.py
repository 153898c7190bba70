"""A worker in the process of its test, with the agents that it needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from app.build import written_state
from app.embedded_kafka.processes import free_port
from app.settings import Settings
from app.state.worker_read_model import WorkerReadModel
from app.state.written import WrittenState
from app.worker import Steelyard


class Agent(Protocol):
    """An agent of `agents`."""

    def register(self) -> None:
        """Add the agent to its app."""


class Worker:
    """A worker that reads no venue."""

    def __init__(
        self,
        installation: Settings,
        *agents: Callable[[Steelyard, WrittenState], Agent],
        **settings: Any,
    ) -> None:
        changed = {"web_port": free_port(), "ingest": False} | settings
        self.app = Steelyard(installation.model_copy(update=changed))
        self.written = written_state(self.app)
        self.read = WorkerReadModel(self.app.options, self.written, self.app)
        for agent in agents:
            agent(self.app, self.written).register()
